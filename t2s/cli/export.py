"""``t2s export``: an adapter with a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from t2s.cli.console import out, say
from t2s.config import Config
from t2s.errors import ConfigError
from t2s.runtime import pin_paths


def export_verb(config: Config, adapter: str, target: Path, evaluation: Path | None, licence: str | None) -> None:
    """Copy the adapter to ``target`` with a card; scores come from an evaluation's directory."""
    from t2s.model.export import export_adapter
    from t2s.registry import resolve_adapter

    config = pin_paths(config)
    found = resolve_adapter(config, adapter).path
    if found is None:
        raise ConfigError(f"{adapter}: there is no adapter to export")
    target = target.expanduser().resolve()
    missing = export_adapter(config, found, target, _read(evaluation) if evaluation else None, licence)
    for name in missing:
        cure = {"scores": ": give --evaluation DIR", "licence": ": give --licence NAME"}.get(name, "")
        say(f"the card says that the {name} {'are' if name.endswith('s') else 'is'} not known{cure}")
    out.print(str(target), markup=False)


def _read(place: Path) -> dict[str, Any]:
    """``evaluation.json`` of an evaluation's directory, or the file itself."""
    file = place / "evaluation.json" if place.is_dir() else place
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--evaluation {file}: not an evaluation: {error}") from None
    if not isinstance(found, dict) or not {"data", "table", "base"} <= found.keys():
        raise ConfigError(
            f"--evaluation {file}: not an evaluation: expected data, table and base, as t2s evaluate writes"
        )
    return found
