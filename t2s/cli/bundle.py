"""``t2s bundle OUT`` and ``t2s bundle install DIR``: t2s on a machine without a network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from t2s.cli.console import next_steps, out, say, short
from t2s.cli.options import Configs, Overrides, load_settings
from t2s.errors import ConfigError, DataError, SetupError, T2SError


class _OrCollect(TyperGroup):
    """``t2s bundle OUT`` is ``t2s bundle collect OUT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["collect", *args]
        return list(super().parse_args(ctx, args))


bundle_app = typer.Typer(
    cls=_OrCollect,
    help="Take t2s to a machine without a network: t2s bundle OUT here, t2s bundle install DIR there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@bundle_app.command()
def collect(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The bundle's directory, new or left unfinished.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    part_size: Annotated[str, typer.Option(help="Size of a part: 500MB, 4GiB.")] = "500MB",
    python: Annotated[str | None, typer.Option(help="The Python there, for example 3.11; this one if absent.")] = None,
    torch: Annotated[str | None, typer.Option(help="torch's variant: cpu, cu126; the installed one if absent.")] = None,
    wheels: Annotated[bool, typer.Option(help="Take t2s and all packages that it needs.")] = True,
    model: Annotated[bool, typer.Option(help="Take the base model.")] = True,
    data: Annotated[bool, typer.Option(help="Take the data.")] = True,
) -> None:
    """Collect wheels, base model and data into parts with a manifest; the same command goes on where it was ended."""
    from t2s.bundle.collect import Wanted
    from t2s.bundle.collect import collect as collect_bundle
    from t2s.bundle.parts import parse_size

    resolved = load_settings(config, overrides)
    made = collect_bundle(target, resolved, parse_size(part_size), Wanted(wheels, model, data, python, torch), say)
    out.print(str(made.directory), markup=False)
    say(f"{made.parts} parts ({made.kept} kept), {made.size / 1e6:,.0f} MB; manifest's SHA-256 {made.manifest_sha256}")
    where = shlex.quote(short(made.directory.absolute()))
    next_steps(f"python3 {where}/install.py --to t2s-home --sha256 {made.manifest_sha256}    # there, with all parts")


@bundle_app.command()
def install(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The directory with all parts and the manifest.")],
    to: Annotated[Path, typer.Option(help="Where venv, model and data go.")] = Path("t2s-home"),
    venv: Annotated[Path | None, typer.Option(help="A virtual environment, there or to be made; TO/venv.")] = None,
    model_dir: Annotated[Path | None, typer.Option(help="TO/model if absent.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="TO/data if absent.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The manifest's, as noted where the bundle was made.")] = None,
) -> None:
    """Check every hash, then install without a network; the bundle's own install.py does the same without t2s."""
    from t2s.bundle.standalone import BundleError, Places, describe
    from t2s.bundle.standalone import install as install_bundle

    places = Places(to, venv, model_dir, data_dir)
    try:
        settings = install_bundle(bundle, places, sha256, say)
    except BundleError as error:
        kinds: dict[int, type[T2SError]] = {2: ConfigError, 3: DataError, 4: SetupError}
        raise kinds[error.exit_code](str(error)) from None
    out.print(describe(places, settings), markup=False)
