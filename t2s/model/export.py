"""Copy an adapter out of a run, with a model card, so that it can be given away."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import ConfigError, SetupError
from t2s.model.adapter import MANIFEST, read_manifest
from t2s.model.base import find_base
from t2s.model.card import is_hub_name, licence_of, render_card
from t2s.prompt import build_prompt
from t2s.sql.schema import parse_schema

SHOWN = ("seed", "quantization", "lora", "training", "prompt")
"""Sections of a run's configuration that stand in the card; the others hold paths and addresses."""
_SETTINGS = "adapter_config.json"


def export_adapter(
    config: Config, adapter: Path, out: Path, evaluation: dict[str, Any] | None, licence: str | None
) -> list[str]:
    """Write ``adapter`` and its card to the new directory ``out``; returns what the card could not say.

    Raises:
        AdapterError: no adapter, or a damaged one.
        ConfigError: ``out`` is there already, or the scores are of another base.
    """
    manifest = read_manifest(adapter)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and is never overwritten: choose another directory")
    if evaluation is not None and evaluation.get("base") != manifest["base"].get("name"):
        raise ConfigError(f"--evaluation: it is of {evaluation.get('base')}, the adapter of {manifest['base']['name']}")
    lora = json.loads((adapter / _SETTINGS).read_text("utf-8"))
    settings = _settings_of_run(adapter)
    licence = licence or _licence(config, manifest)
    card = render_card(manifest, lora, settings, evaluation, licence, _example(config))
    try:
        _write(adapter, out, manifest, lora, card)
    except OSError as error:
        raise SetupError(f"{out}: cannot write: {error.strerror or error}") from None
    read_manifest(out)
    known = {"scores": evaluation, "licence": licence, "settings": settings, "data": manifest.get("data")}
    return [name for name, value in known.items() if not value]


def _write(adapter: Path, out: Path, manifest: dict[str, Any], lora: dict[str, Any], card: str) -> None:
    """Without the paths of this machine: a base that is a directory is called by its last name."""
    name = str(manifest["base"].get("name", ""))
    public = name if is_hub_name(name) else Path(name).name
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(adapter / "adapter_model.safetensors", out / "adapter_model.safetensors")
    text = json.dumps(lora | {"base_model_name_or_path": public}, indent=2, sort_keys=True)
    (out / _SETTINGS).write_text(text, encoding="utf-8")
    (out / "README.md").write_text(card, encoding="utf-8")
    files = manifest["files"] | {_SETTINGS: hashlib.sha256(text.encode()).hexdigest()}
    changed = manifest | {"base": manifest["base"] | {"name": public}, "files": files}
    (out / MANIFEST).write_text(json.dumps(changed, indent=2), encoding="utf-8")


def _settings_of_run(adapter: Path) -> dict[str, Any] | None:
    """Of the ``config.yaml`` beside the adapter, as ``t2s train`` leaves it."""
    import yaml

    file = adapter.parent / "config.yaml"
    found = yaml.safe_load(file.read_text("utf-8")) if file.is_file() else None
    return {name: found[name] for name in SHOWN if name in found} if isinstance(found, dict) else None


def _licence(config: Config, manifest: dict[str, Any]) -> str | None:
    """From the base's files if they are on this machine."""
    model = config.model.model_copy(update={"name": manifest["base"].get("name") or config.model.name})
    try:
        return licence_of(find_base(model, download=False))
    except (ConfigError, SetupError):
        return None


def _example(config: Config) -> str:
    schema = parse_schema("TABLE: employees ( id (real), name (text), salary (real) )")
    return build_prompt("Who earns more than 50000?", schema, config.prompt)
