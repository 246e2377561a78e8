"""``t2s data check``: read, look, run the golds, say what was found and write it down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from t2s.cli.console import meter, out, say, table
from t2s.config import Config
from t2s.data.check import Lengths, check
from t2s.data.core import Example, Pipeline, Splits
from t2s.data.faults import Faults, rejects_path
from t2s.data.report import SPLITS, Report, check_report_path, write_report
from t2s.errors import DataError

CHARS_A_TOKEN = 4
"""An English text has about four characters a token; an example above four times the limit hardly ever fits."""


def check_verb(config: Config, title: str, as_json: bool, report_to: Path | None, tokens: bool) -> Report:
    """Check the data of ``config``, show what was found, write ``report_to`` (also if reading fails)."""
    if report_to is not None:
        check_report_path(report_to)
    lengths = lengths_in_tokens(config) if tokens else lengths_in_characters(config)
    say(f"reading {title}")
    pipeline, splits = _read(config, title, report_to)
    with meter("running gold queries") as progress:
        report = check(splits, progress.update, lengths, grammar=config.inference.grammar)
    _note_rejected(report, pipeline, config)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        table(f"checked {title}", ("", *SPLITS), report.rows())
        for line in report.findings():
            out.print(line, markup=False)
    if report_to is not None:
        write_report(report, report_to, f"checked {title}")
        say(f"report: {report_to}")
    return report


def lengths_in_characters(config: Config) -> Lengths:
    """What can be said without a tokenizer."""
    return Lengths(
        lambda examples: [len(text) for text in _texts(examples, config)],
        CHARS_A_TOKEN * config.training.max_length,
        "characters",
    )


def lengths_in_tokens(config: Config) -> Lengths:
    """What training will say, by the base's own tokenizer; the end token counts."""
    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer

    tokenizer = load_tokenizer(find_base(config.model))

    def measure(examples: Sequence[Example]) -> list[int]:
        encoded: list[list[int]] = tokenizer(_texts(examples, config))["input_ids"]
        return [len(ids) + 1 for ids in encoded]

    return Lengths(measure, config.training.max_length, "tokens")


def _texts(examples: Sequence[Example], config: Config) -> list[str]:
    from t2s.prompt import build_completion, build_prompt

    return [build_prompt(e.question, e.schema, config.prompt) + build_completion(e.sql) for e in examples]


def _read(config: Config, title: str, report_to: Path | None) -> tuple[Pipeline, Splits]:
    """The pipeline and its splits. If the data is refused, every fault still goes to the report."""
    from t2s.data.pipelines import build_pipeline

    pipeline = build_pipeline(config.data)
    try:
        return pipeline, pipeline.prepare()
    except DataError:
        found = _faults(pipeline)
        if report_to is not None and found:
            write_report(Report(rejected=found), report_to, f"checked {title}")
            say(f"report: {report_to}, faults: {len(found)}")
        raise


def _note_rejected(report: Report, pipeline: Any, config: Config) -> None:
    report.rejected = _faults(pipeline)
    if report.rejected:
        subject = pipeline.root() if hasattr(pipeline, "root") else pipeline.path
        report.rejects = str(rejects_path(config.data.cache_dir, subject))


def _faults(pipeline: object) -> list[str]:
    faults = getattr(pipeline, "faults", None)
    return [str(fault) for fault in faults.found] if isinstance(faults, Faults) else []
