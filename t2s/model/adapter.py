"""Attach, save, check and load LoRA adapters.

An adapter is a directory: PEFT's ``adapter_model.safetensors`` and ``adapter_config.json``, and ``t2s_adapter.json``,
the manifest, written last. The manifest names the base, the prompt regime and the SHA-256 of every file, because
safetensors notices truncation but not changed bytes. Only safetensors are read: nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from t2s.config import LoraConfig, PromptConfig
from t2s.errors import AdapterError, ConfigError
from t2s.model.base import BaseFiles
from t2s.prompt import describe, regime

MANIFEST = "t2s_adapter.json"
_NEEDED = ("adapter_model.safetensors", "adapter_config.json")
CHANGES_BASE = ("pissa", "olora")
"""Initialisations that move a part of the base's weights into the adapter."""
_FOREIGN = ("auto_mapping", "megatron_config", "modules_to_save", "trainable_token_indices", "layer_replication")
_ALLOWED = {*_NEEDED, "README.md", MANIFEST}


def names_directory(reference: str) -> bool:
    """Whether a setting that names an adapter means a directory, and not an alias, a version number or ``none``."""
    return "/" in reference or (not reference.isdigit() and Path(reference).is_dir())


def attach(model: Any, config: LoraConfig) -> Any:
    """Wrap ``model`` with a fresh, trainable adapter in fp32; the base's weights are frozen.

    Raises:
        ConfigError: a layer that ``model`` does not have, or options that do not go together.
    """
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    from t2s.model.skeleton import adapted_layers

    adapted_layers(model, config)  # PEFT passes over a wrong name beside a right one
    targets = config.target_modules
    peft_config = PeftLoraConfig(
        r=config.r,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT says int and takes any number
        lora_dropout=config.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        init_lora_weights=True if config.init == "default" else config.init,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # PEFT asks transformers for an attribute by its old name.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            adapted: Any = get_peft_model(model, peft_config)
    except (ValueError, TypeError, RuntimeError) as error:  # what PEFT raises for layers that an option does not suit
        raise ConfigError(f"lora: this base does not take it: {str(error).splitlines()[0]}") from None
    if config.init in CHANGES_BASE:
        adapted.started_from = {name: value.detach().clone() for name, value in _weights(adapted).items()}
    return adapted


def _weights(adapted: Any) -> dict[str, Any]:
    """The low-rank matrices under the names that they have in a saved adapter."""
    from peft import get_peft_model_state_dict

    return {k: v for k, v in get_peft_model_state_dict(adapted).items() if ".lora_A." in k or ".lora_B." in k}


def save_adapter(model: Any, directory: Path, base: BaseFiles, prompt: PromptConfig, about: dict[str, Any]) -> None:
    """Write the adapter of ``model`` to ``directory``, aside first and then renamed.

    ``about`` is what else the manifest says, for example the run and the data's fingerprint.
    """
    aside = directory.with_name(f"{directory.name}.tmp")
    model.save_pretrained(aside, safe_serialization=True)
    (aside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    _make_plain(aside, base.name, getattr(model, "started_from", {}))
    manifest = {
        "base": {"name": base.name, "fingerprint": base.fingerprint, "form": form_of(model)},
        "prompt_regime": regime(prompt),
        "prompt": describe(prompt),
        "files": {name: _sha256(aside / name) for name in _NEEDED},
        **about,
    }
    with (aside / MANIFEST).open("w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(directory)


def form_of(model: Any) -> str:
    """How the weights of a base are held: ``nf4``, ``fp4``, or the type of full weights, for example ``float32``."""
    quantization = getattr(model.config, "quantization_config", None)
    if getattr(model, "is_loaded_in_4bit", False) and quantization is not None:
        return str(quantization.bnb_4bit_quant_type)
    return str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")


def _make_plain(directory: Path, base: str, started_from: dict[str, Any]) -> None:
    """Make a saved adapter one that names its base, fits it unchanged, and does not begin anew when it is loaded.

    PiSSA and OLoRA take their first B₀A₀ out of the base: W + s(BA − B₀A₀) is a plain adapter of twice the rank.
    """
    import torch
    from safetensors.torch import load_file, save_file

    file = directory / "adapter_config.json"
    settings = json.loads(file.read_text("utf-8"))
    if started_from:
        weights = load_file(directory / "adapter_model.safetensors")
        for name, start in started_from.items():
            first = start.to(weights[name])
            pair, axis = ((weights[name], first), 0) if ".lora_A." in name else ((weights[name], -first), 1)
            weights[name] = torch.cat(pair, axis).contiguous()
        save_file(weights, directory / "adapter_model.safetensors", {"format": "pt"})
        growth = 2**0.5 if settings["use_rslora"] else 2  # alpha / √r and alpha / r stay
        settings |= {"r": 2 * settings["r"], "lora_alpha": growth * settings["lora_alpha"]}
    settings |= {"init_lora_weights": True, "base_model_name_or_path": base}
    file.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


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
    _refuse_other_kinds(directory)
    return manifest


def _refuse_other_kinds(directory: Path) -> None:
    """PEFT does by its settings more than add matrices: it can import modules and change other layers."""
    settings = _read_json(directory / _NEEDED[1])
    odd = [name for name in _FOREIGN if settings.get(name)]
    if settings.get("peft_type", "LORA") != "LORA" or odd:
        found = ", ".join(odd) or f"peft_type {settings.get('peft_type')!r}"
        raise AdapterError(f"adapter {directory}: {_NEEDED[1]} holds {found}; only plain LoRA is loaded")


def weights_hash(directory: Path) -> str:
    """SHA-256 of the weights of the adapter in ``directory``: what one adapter is known by."""
    return _sha256(directory / _NEEDED[0])


def load_adapter(model: Any, directory: Path, base: BaseFiles, prompt: PromptConfig) -> Any:
    """``model`` with the adapter of ``directory``, in eval mode; an :class:`AdapterError` if it does not fit."""
    from peft import PeftModel

    manifest = read_manifest(directory)
    check_fits(manifest, directory, base, prompt)
    return PeftModel.from_pretrained(model, directory, is_trainable=False).eval()


def check_fits(manifest: dict[str, Any], directory: Path, base: BaseFiles, prompt: PromptConfig) -> None:
    """Raise an :class:`AdapterError` if the adapter was trained on another base or another prompt."""
    trained = _section(manifest, "base")
    if trained.get("fingerprint") != base.fingerprint:
        raise AdapterError(
            f"adapter {directory}: trained on {trained.get('name')} ({trained.get('fingerprint')}), but model.name "
            f"is {base.name} ({base.fingerprint}): set model.name to the adapter's base"
        )
    trained_on, settings = manifest.get("prompt_regime"), manifest.get("prompt")
    if trained_on != regime(prompt):
        cure = f"set {settings}" if isinstance(settings, str) else "set the prompt section as it was in training"
        raise AdapterError(
            f"adapter {directory}: trained on prompts {trained_on}, but the prompt section "
            f"makes {regime(prompt)}: {cure}"
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
