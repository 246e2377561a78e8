"""``t2s data fetch | show | check | generate | example``: get the data, look at it, look for what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2s.cli.console import meter, next_steps, out, say, table
from t2s.cli.options import Configs, Overrides
from t2s.errors import EXIT_DATA, EXIT_OK, ConfigError, suggest

if TYPE_CHECKING:
    from t2s.config import Config

data_app = typer.Typer(help="The data.", no_args_is_help=True, rich_markup_mode=None)

SPLITS = ("train", "val", "test")


@data_app.command()
def fetch(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    from_: Annotated[Path | None, typer.Option("--from", help="Copy this archive instead of downloading.")] = None,
    to: Annotated[Path | None, typer.Option(help="Directory for the archive; data.cache_dir if absent.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the archive must have.")] = None,
) -> None:
    """Get the WikiSQL archive, by download (taken up again after a break) or from a local copy, and verify it."""
    from t2s.config import load
    from t2s.data.fetch import fetch as fetch_archive

    resolved = load(config, overrides)
    cache = resolved.data.cache_dir
    with meter("fetching WikiSQL") as progress:
        fetched = fetch_archive(
            to or cache,
            from_,
            sha256=sha256,
            progress=lambda done, total: progress.update(done / 1e6, (total or done) / 1e6, "MB"),
        )
    out.print(str(fetched.path), markup=False)
    kind = "the official archive" if fetched.is_official else "not the official archive: say so beside any score"
    say(f"{fetched.path.stat().st_size} bytes, SHA-256 {fetched.sha256} ({kind}), unpacked beside it")
    where = "" if to is None or to == cache else f" data.path={fetched.path}"
    next_steps(f"t2s data show{where}", f"t2s data check{where}")


@data_app.command()
def show(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    number: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 3,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    tokenizer: Annotated[
        bool | None,
        typer.Option("--tokenizer/--no-tokenizer", help="Count tokens; by default if the base is on this machine."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Print examples as the model sees them: the prompt, and which tokens it learns."""
    from t2s.cli.show import show_verb

    if split not in SPLITS:
        raise ConfigError(f"--split {split}: expected one of {', '.join(SPLITS)}{suggest(split, SPLITS)}")
    from t2s.config import load

    resolved = load(config, overrides)
    total = show_verb(resolved, split, number, tokenizer, as_json)
    say(f"{min(number, total)} of {total} {split} examples; the SQL and the end token are what is learned")
    same = _same(config, overrides)
    next_steps(f"t2s data check{same}", f"t2s train{same}")


@data_app.command()
def check(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad lines; write them down.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Count tokens by the base's tokenizer.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write all findings to this .json or .md file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Find bad lines, duplicates, leaks, too long examples, failing gold queries; exit code 3 if the data is wrong."""
    from t2s.cli.data_check import check_verb

    given = [*overrides, *(["data.skip_bad=true"] if skip_bad else [])]
    from t2s.config import load

    resolved = load(config, given)
    found = check_verb(resolved, _described(resolved), as_json, report, tokens)
    if found.errors:
        say(f"{found.errors} errors: such data gives wrong scores; see above")
    same = _same(config, given)
    next_steps(f"t2s data show -n 3{same}", *([] if found.errors else [f"t2s train{same}"]))
    raise typer.Exit(EXIT_DATA if found.errors else EXIT_OK)


@data_app.command()
def generate(
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="A directory that does not exist yet.")],
    rows: Annotated[int, typer.Option(help="Rows in all tables together.")],
    questions: Annotated[int, typer.Option(help="Questions in all splits together.")] = 600,
    seed: Annotated[int, typer.Option(help="Another seed draws other tables and questions.")] = 0,
) -> None:
    """Write large generated tables and questions in WikiSQL's layout, for load tests."""
    from t2s.data.synthetic.load import generate as generate_data

    say(f"writing {rows} rows and {questions} questions to {out_dir}")
    manifest = generate_data(out_dir, rows, questions, seed)
    table("generated", ("", *manifest["splits"]), _by_split(manifest["splits"]))
    where = f"data.pipeline=wikisql data.path={out_dir}"
    next_steps(f"t2s data show {where}", f"t2s data check {where}")


@data_app.command()
def example(
    out_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that does not exist yet.")],
    duckdb: Annotated[bool, typer.Option("--duckdb", help="A DuckDB database instead of a SQLite one.")] = False,
) -> None:
    """Write a small database of a shop and questions about it: your own data, by example."""
    from t2s.data.example import write_example

    counts = write_example(out_dir, "duckdb" if duckdb else "sqlite")
    out.print(str(out_dir), markup=False)
    say(f"{counts['database']}, and {', '.join(f'{counts[split]} {split}' for split in SPLITS)} questions")
    where = f"data.pipeline=jsonl data.path={out_dir}"
    next_steps(f"t2s data check {where}", f"t2s data show -n 3 {where}", f"t2s train {where}")


def _by_split(splits: dict[str, dict[str, int]]) -> list[list[str]]:
    kinds = next(iter(splits.values()))
    return [[kind, *(str(counts[kind]) for counts in splits.values())] for kind in kinds]


def _described(config: Config) -> str:
    from t2s.storage import remote

    path = f" at {remote(config.data.path) or config.data.path}" if config.data.path else ""
    return f"{config.data.pipeline}{path}"


def _same(files: list[Path], overrides: list[str]) -> str:
    """The configuration of this command, to be typed again."""
    import shlex

    words = [word for file in files for word in ("-c", str(file))] + list(overrides)
    return f" {shlex.join(words)}" if words else ""
