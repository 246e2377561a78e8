"""Attach, save, check and load LoRA adapters.

An adapter is a directory: PEFT's ``adapter_model.safetensors`` and ``adapter_config.json``, and ``t2s_adapter.json``,
the manifest, written last. The manifest names the base, the prompt regime and the SHA-256 of every file, because
safetensors notices truncation but not changed bytes. Only safetensors are read: nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from t2s.config import LoraConfig
from t2s.errors import AdapterError, ConfigError
from t2s.model.base import BaseFiles
from t2s.prompt import PROMPT_REGIME

MANIFEST = "t2s_adapter.json"
_NEEDED = ("adapter_model.safetensors", "adapter_config.json")
_ALLOWED = {*_NEEDED, "README.md", MANIFEST}


def attach(model: Any, config: LoraConfig) -> Any:
    """Wrap ``model`` with a fresh, trainable adapter; the base's weights are frozen."""
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    targets = config.target_modules
    peft_config = PeftLoraConfig(
        r=config.r,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT says int and takes any number
        lora_dropout=config.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, peft_config)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules={targets}: {str(error).splitlines()[0]}") from None


def save_adapter(model: Any, directory: Path, base: BaseFiles, about: dict[str, Any]) -> None:
    """Write the adapter of ``model`` to ``directory``, aside first and then renamed.

    ``about`` is what else the manifest says, for example the run and the data's fingerprint.
    """
    aside = directory.with_name(f"{directory.name}.tmp")
    model.save_pretrained(aside, safe_serialization=True)
    (aside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    manifest = {
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "prompt_regime": PROMPT_REGIME,
        "files": {name: _sha256(aside / name) for name in _NEEDED},
        **about,
    }
    with (aside / MANIFEST).open("w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(directory)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a complete, unchanged adapter.

    Raises:
        AdapterError: no adapter, a foreign or missing file, a link, a changed byte; the message names the file.
    """
    if not directory.is_dir():
        raise AdapterError(f"adapter {directory}: no such directory")
    for entry in sorted(directory.iterdir()):
        if entry.is_symlink() or not entry.is_file() or entry.name not in _ALLOWED:
            raise AdapterError(f"adapter {directory}: {entry.name} does not belong in an adapter; remove it")
    for name in (*_NEEDED, MANIFEST):
        if not (directory / name).is_file():
            raise AdapterError(f"adapter {directory}: {name} is missing; point to a directory that t2s train wrote")
    manifest = _read_json(directory / MANIFEST)
    for name in _NEEDED:
        if _section(manifest, "files").get(name) != _sha256(directory / name):
            raise AdapterError(f"adapter {directory}: {name} is not the file that was saved (SHA-256 differs)")
    return manifest


def load_adapter(model: Any, directory: Path, base: BaseFiles) -> Any:
    """``model`` with the adapter of ``directory``, in eval mode; an :class:`AdapterError` if it does not fit."""
    from peft import PeftModel

    manifest = read_manifest(directory)
    check_base(manifest, directory, base)
    return PeftModel.from_pretrained(model, directory, is_trainable=False).eval()


def check_base(manifest: dict[str, Any], directory: Path, base: BaseFiles) -> None:
    """Raise an :class:`AdapterError` if the adapter was trained on another base or another prompt."""
    trained = _section(manifest, "base")
    if trained.get("fingerprint") != base.fingerprint:
        raise AdapterError(
            f"adapter {directory}: trained on {trained.get('name')} ({trained.get('fingerprint')}), but model.name "
            f"is {base.name} ({base.fingerprint}): set model.name to the adapter's base"
        )
    if manifest.get("prompt_regime") != PROMPT_REGIME:
        raise AdapterError(
            f"adapter {directory}: trained on prompts {manifest.get('prompt_regime')}, this t2s writes {PROMPT_REGIME}"
        )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"adapter manifest {file}: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise AdapterError(f"adapter manifest {file}: expected an object")
    return raw


def _section(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside the manifest; empty if it is something else, which then fits nothing."""
    section = manifest.get(name)
    return section if isinstance(section, dict) else {}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
