"""``t2s merge`` and ``export``: an adapter in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import Configs, Overrides, load_settings

family = typer.Typer(rich_markup_mode=None)


@family.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A directory, `champion`, or a version number.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The merged model's directory; it must not exist.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    dtype: Annotated[str, typer.Option(help="Of the merged weights: fp32, bf16 or fp16.")] = "fp32",
    check: Annotated[int, typer.Option(min=0, help="Validation questions to measure the change on; 0: none.")] = 32,
) -> None:
    """Write base and adapter as one model, and measure what that changed."""
    from t2s.cli.merge import merge_verb

    merge_verb(load_settings(config, overrides), adapter, out, dtype, check)


@family.command()
def export(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A directory, `champion`, or a version number.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to write; it must not exist.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    evaluation: Annotated[Path | None, typer.Option(help="Its scores: a directory of t2s evaluate.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", "--license", help="If the base does not say.")] = None,
) -> None:
    """Copy an adapter with a model card, to be given away."""
    from t2s.cli.export import export_verb

    export_verb(load_settings(config, overrides), adapter, out, evaluation, licence)
