"""The ``t2s`` command: its verbs, and how it ends. Arguments are read first; torch and Ray are imported by what runs.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 data, 4 environment, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer

from t2s import __version__
from t2s.cli.bench_serve import bench_app
from t2s.cli.bundle import bundle_app
from t2s.cli.cluster import cluster_app
from t2s.cli.commands import adapters, answer, judge, learn, machines
from t2s.cli.commands.record import config_app, track_app
from t2s.cli.console import err
from t2s.cli.data import data_app
from t2s.cli.jobs import jobs_app
from t2s.cli.plain import plain
from t2s.errors import EXIT_INTERRUPTED, EXIT_OK, T2SError
from t2s.masking import mask

app = typer.Typer(
    name="t2s",
    help="Fine-tune a language model to turn questions into SQL over your tables, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verbs in (learn, judge, adapters, answer, machines):
    app.add_typer(verbs.family)
for name, group in {
    "data": data_app,
    "bench": bench_app,
    "bundle": bundle_app,
    "cluster": cluster_app,
    "jobs": jobs_app,
    "config": config_app,
    "track": track_app,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """The console script."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; an expected failure becomes one message on standard error."""
    _mask_what_is_said()
    try:
        code = app(arguments, standalone_mode=False)
    except T2SError as error:
        err.print(f"error: {plain(mask(str(error)))}", style="red", markup=False)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return EXIT_INTERRUPTED
    except typer.Exit as stop:
        return int(stop.exit_code)
    except Exception as error:
        usage = _usage_error(error)
        if usage is None:
            raise
        err.print(f"error: {plain(mask(usage))}", style="red", markup=False)
        return 2
    return code if isinstance(code, int) else EXIT_OK


class _Masked(logging.Formatter):
    """Log lines, and the tracebacks in them, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _mask_what_is_said() -> None:
    """Warnings go to standard error; neither they nor the traceback of a bug of ours hold secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Masked("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.excepthook = _print_traceback


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(mask("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def _usage_error(error: Exception) -> str | None:
    """The message of a wrong option or argument (click's own exception, which typer bundles), else None."""
    formatter = getattr(error, "format_message", None)
    return formatter() if formatter and getattr(error, "exit_code", None) == 2 else None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"t2s {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
