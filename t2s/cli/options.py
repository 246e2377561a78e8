"""Arguments and options that many commands have, and the configuration that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2s.errors import ConfigError

if TYPE_CHECKING:
    from t2s.config import Config

Configs = Annotated[list[Path], typer.Option("--config", "-c", help="A YAML file; may be repeated, later ones win.")]
Overrides = Annotated[list[str], typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings that win over files.")]
AdapterPath = Annotated[
    str,
    typer.Option(help="An adapter's directory, `champion`, a version number, or `none` for the bare base."),
]


def load_settings(files: Sequence[Path], overrides: Sequence[str], flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a command; its ``flags``, by key path, win over everything else."""
    from t2s.config import load

    return load(files, [*overrides, *given(flags or {})])


def refuse_together(option: str, others: Mapping[str, object]) -> None:
    """Raise a :class:`ConfigError` for an option that ``option`` leaves without effect: those that have a value."""
    useless = [name for name, value in others.items() if value]
    if useless:
        raise ConfigError(f"{option} and {useless[0]} do not go together: leave one of them out")


def given(flags: Mapping[str, object]) -> list[str]:
    """Those flags that are not None, as ``key.path=value``."""
    return [f"{key}={value}" for key, value in flags.items() if value is not None]
