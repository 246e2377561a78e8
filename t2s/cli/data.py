"""``t2s data fetch | show | check``: get the data, look at it, look for what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.console import meter, next_steps, out, say, table
from t2s.config import Config, load
from t2s.errors import EXIT_DATA, EXIT_OK, ConfigError, suggest

data_app = typer.Typer(help="The data.", no_args_is_help=True, rich_markup_mode=None)

SPLITS = ("train", "val", "test")
Configs = Annotated[
    list[Path],
    typer.Option("--config", "-c", help="A YAML file; may be repeated, later ones win."),
]
Overrides = Annotated[list[str], typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings that win over files.")]


@data_app.command()
def fetch(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    from_: Annotated[Path | None, typer.Option("--from", help="Copy this archive instead of downloading.")] = None,
    to: Annotated[Path | None, typer.Option(help="Directory for the archive; data.cache_dir if absent.")] = None,
) -> None:
    """Get the WikiSQL archive, by download (taken up again after a break) or from a local copy."""
    from t2s.data.archive import sha256
    from t2s.data.fetch import fetch as fetch_archive

    resolved = load(config, overrides)
    cache = resolved.data.cache_dir
    with meter("fetching WikiSQL") as progress:
        archive = fetch_archive(
            to or cache,
            from_,
            progress=lambda done, total: progress.update(done / 1e6, (total or done) / 1e6, "MB"),
        )
    out.print(str(archive), markup=False)
    say(f"{archive.stat().st_size} bytes, SHA-256 {sha256(archive)}, unpacked beside it")
    where = "" if to is None or to == cache else f" data.path={archive}"
    next_steps(f"t2s data show{where}", f"t2s data check{where}")


@data_app.command()
def show(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    number: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 3,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
) -> None:
    """Print examples as the model sees them: the prompt, and the completion that it learns."""
    from t2s.data.pipelines import build_pipeline
    from t2s.prompt import build_completion, build_prompt

    if split not in SPLITS:
        raise ConfigError(f"--split {split}: expected one of {', '.join(SPLITS)}{suggest(split, SPLITS)}")
    resolved = load(config, overrides)
    examples = build_pipeline(resolved.data).prepare()[SPLITS.index(split)]
    for example in examples[:number]:
        out.print(f"# {example.id}", style="dim", markup=False)
        out.print(build_prompt(example.question, example.schema), end="", markup=False)
        out.print(build_completion(example.sql), style="bold green", markup=False)
        out.print()
    say(f"{min(number, len(examples))} of {len(examples)} {split} examples; the SQL is what is learned")
    same = _same(config, overrides)
    next_steps(f"t2s data check{same}", f"t2s train{same}")


@data_app.command()
def check(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Look for duplicates, tables in two splits, gold queries that fail; exit code 3 if the data is wrong."""
    from t2s.data.check import check as check_data
    from t2s.data.pipelines import build_pipeline

    resolved = load(config, overrides)
    say(f"reading {_described(resolved)}")
    splits = build_pipeline(resolved.data).prepare()
    with meter("running gold queries") as progress:
        report = check_data(splits, progress.update)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        table(f"checked {_described(resolved)}", ("", *SPLITS), report.rows())
        for line in report.findings():
            out.print(line, markup=False)
    if report.errors:
        say(f"{report.errors} errors: such data gives wrong scores; see above")
    same = _same(config, overrides)
    next_steps(f"t2s data show -n 3{same}", *([] if report.errors else [f"t2s train{same}"]))
    raise typer.Exit(EXIT_DATA if report.errors else EXIT_OK)


def _described(config: Config) -> str:
    path = f" at {config.data.path}" if config.data.path else ""
    return f"{config.data.pipeline}{path}"


def _same(files: list[Path], overrides: list[str]) -> str:
    """The configuration of this command, to be typed again."""
    import shlex

    words = [word for file in files for word in ("-c", str(file))] + list(overrides)
    return f" {shlex.join(words)}" if words else ""
