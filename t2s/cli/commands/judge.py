"""``t2s evaluate``, ``score``, ``compare`` and ``promote``: how good an adapter is, and whether it is the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import AdapterPath, Configs, Overrides, load_settings, refuse_together

family = typer.Typer(rich_markup_mode=None)


@family.command()
def evaluate(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    adapter_path: AdapterPath = "champion",
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Ask this many questions, drawn with the seed.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    base: Annotated[bool, typer.Option(help="Measure the bare base on the same questions too.")] = True,
    name: Annotated[str | None, typer.Option(help="Name of the evaluation's directory.")] = None,
) -> None:
    """Score base and adapter: execution and logical-form accuracy by category."""
    from t2s.cli.verbs import evaluate_verb

    evaluate_verb(load_settings(config, overrides), adapter_path, split, max_samples, base, name)


@family.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSONL, a line a question: query, sql or error.")],
    data: Annotated[Path, typer.Option(help="WikiSQL's layout: a directory or an archive.")],
    split: Annotated[str, typer.Option(help="dev, test, or another SPLIT.jsonl of it.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write a line a question here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report, one self-contained page, here.")] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Conditions must come in the gold's order.")] = False,
    cache_dir: Annotated[Path, typer.Option(help="Where an archive is unpacked.")] = Path("runs/cache"),
) -> None:
    """Score a file of predictions: official EX and LF, repaired EX, by category."""
    from t2s.cli.score import score_verb

    score_verb(predictions, data, split, json_file, html, ordered, cache_dir)


@family.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A file of t2s score --json, or RUN[:base|:tuned].")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another over the same questions.")],
    metric: Annotated[str | None, typer.Option(help="ex, lf or repaired_ex; all if absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Compare two scored files: difference with interval, McNemar's exact test."""
    from t2s.cli.score import compare_verb

    compare_verb(first, second, metric, as_json)


@family.command()
def promote(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[VERSION] [KEY.PATH=VALUE]...",
            help="A version number, `challenger` (the newest, the default), or the directory of a run.",
        ),
    ] = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    evaluation: Annotated[Path | None, typer.Option(help="Judge by this evaluation instead of a new one.")] = None,
    min_gain: Annotated[float, typer.Option(help="Points of accuracy that it must gain.")] = 0.0,
    max_p: Annotated[float, typer.Option(help="McNemar's exact p that it must not exceed.")] = 0.05,
    split: Annotated[str, typer.Option(help="Questions of a new evaluation: train, val or test.")] = "test",
    max_samples: Annotated[int | None, typer.Option(min=1, help="Ask this many, drawn with the seed.")] = None,
    force: Annotated[str | None, typer.Option(metavar="WHY", help="Promote without a test, for this reason.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Make the champion before this one champion.")] = False,
) -> None:
    """Make a version the champion, if it is better than the champion on the same questions."""
    from t2s.cli.promote import promote_verb, roll_back_verb, split_words
    from t2s.gate import Gate

    version, overrides = split_words(words)
    gate = Gate(max_p, min_gain)
    if rollback:
        refuse_together("--rollback", {"--max-samples": max_samples})
        raise typer.Exit(roll_back_verb(load_settings(config, overrides), version, evaluation, force))
    raise typer.Exit(
        promote_verb(load_settings(config, overrides), version, evaluation, gate, split, max_samples, force)
    )
