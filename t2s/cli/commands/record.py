"""``t2s config`` and ``track``: the settings of runs, and what MLflow missed of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import Configs, Overrides, load_settings

config_app = typer.Typer(help="The configuration.", no_args_is_help=True, rich_markup_mode=None)
track_app = typer.Typer(help="The record of runs.", no_args_is_help=True, rich_markup_mode=None)


@config_app.command("show")
def show(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """Print the resolved configuration as YAML, without passwords."""
    from t2s.config import dump
    from t2s.track.files import without_secrets

    typer.echo(dump(without_secrets(load_settings(config, overrides))), nl=False)


@config_app.command("docs")
def docs() -> None:
    """Print the reference of all settings as Markdown (docs/configuration.md)."""
    from t2s.config.docs import reference

    typer.echo(reference(), nl=False)


@track_app.command("replay")
def replay_run(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """Send MLflow what it missed of a run; twice adds nothing."""
    from t2s.track.replay import replay

    own = [run_dir / "config.yaml"] if not config and (run_dir / "config.yaml").is_file() else config
    typer.echo(f"{replay(run_dir, load_settings(own, overrides))} values sent")
