"""Look for what makes scores wrong: golds that fail or find nothing, duplicates, leaks between the splits.

Golds of the official layout are logical forms and run on the official engine; golds over a user's database run in
the sandbox, as in scoring, so that a gold that the sandbox refuses is found here and not in an evaluation.
Not covered: whether a question means what its query asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2s.data.core import Example, Splits, TableRef
from t2s.data.report import MAX_READ_BY_GRAMMAR, SPLITS, Report, SplitReport
from t2s.errors import SQLError
from t2s.sql.grammar.membership import can_write
from t2s.sql.official import OfficialEngine, official_lf_match
from t2s.sql.parse import parse
from t2s.sql.render import render
from t2s.sql.sandbox import Limits, Refused, Sandbox
from t2s.sql.schema import render_schema

__all__ = ["Lengths", "Report", "check"]

Progress = Callable[[int, int], None]
"""Called with the number of examples looked at, and of all."""


@dataclass(frozen=True)
class Lengths:
    """How long an example may be: ``measure`` gives the lengths of many at once, in ``unit``."""

    measure: Callable[[Sequence[Example]], list[int]]
    limit: int
    unit: str


def check(
    splits: Splits,
    progress: Progress | None = None,
    lengths: Lengths | None = None,
    limits: Limits | None = None,
    grammar: str = "none",
) -> Report:
    """Look at every example, and run every gold query that has rows to run on.

    Args:
        lengths: finds examples that are too long; None looks for none.
        limits: of the sandbox for golds over a user's database.
        grammar: ``inference.grammar``; finds golds that it cannot write.
    """
    report = Report(limit=f"over {lengths.limit} {lengths.unit}" if lengths else "", grammar=grammar)
    done, total = 0, sum(len(split) for split in splits)
    repeats = _Repeats()
    with _Golds(limits) as golds:
        for name, split in zip(SPLITS, splits, strict=True):
            for example in split:
                _look(example, name, report, repeats)
                _read_back(example, report.splits[name])
                golds.try_one(example, report.splits[name])
                done += 1
                if progress and (done % 200 == 0 or done == total):
                    progress(done, total)
            if lengths and split:
                report.splits[name].too_long = _too_long(split, lengths)
            if grammar != "none":
                report.splits[name].unwritable = _unwritable(split, grammar)
    for name in SPLITS:
        report.splits[name].tables = sum(name in places for places in repeats.tables.values())
    shared = {table: places for table, places in repeats.tables.items() if len(places) > 1}
    report.shared_tables = [f"{table}: {', '.join(sorted(places))}" for table, places in shared.items()]
    return report


@dataclass
class _Repeats:
    """What has been seen where: questions by table, and tables."""

    questions: dict[tuple[str, str], tuple[str, Example]] = field(default_factory=dict)
    tables: dict[str, set[str]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def table_of(self, example: Example) -> str:
        """What tells this example's table or database from others."""
        if isinstance(example.source, TableRef):
            return example.source.table_id
        if isinstance(example.source, Path):
            return str(example.source)
        key = id(example.schema)
        if key not in self.texts:
            self.texts[key] = render_schema(example.schema)
        return self.texts[key]


def _look(example: Example, split: str, report: Report, repeats: _Repeats) -> None:
    """Count the example, and find what it repeats."""
    found, table = report.splits[split], repeats.table_of(example)
    found.examples += 1
    found.without_rows += example.source is None
    repeats.tables.setdefault(table, set()).add(split)
    key = (" ".join(example.question.casefold().split()), table)
    first_split, first = repeats.questions.setdefault(key, (split, example))
    if first_split != split:
        report.leaks.append(f"{example.id} and {first.id}")
    elif first is not example and _same_query(first, example):
        found.duplicates.append(example.id)
    elif first is not example:
        found.contradictions.append(f"{example.id}: {example.sql} (as {first.id}: {first.sql})")


def _same_query(one: Example, other: Example) -> bool:
    if one.logical_form is None or other.logical_form is None:
        return one.sql == other.sql
    return official_lf_match(one.logical_form, other.logical_form)


def _read_back(example: Example, found: SplitReport) -> None:
    """The SQL must give its logical form, and so must the form as t2s writes it."""
    form = example.logical_form
    if form is None:
        return
    try:
        written = render(form, example.schema.table)
        if any(parse(sql, example.schema.table) != form for sql in {example.sql, written}):
            found.not_read_back.append(f"{example.id}: {example.sql}")
    except SQLError as error:
        found.not_read_back.append(f"{example.id}: {error}")


def _too_long(split: Sequence[Example], lengths: Lengths) -> list[str]:
    measured = zip(split, lengths.measure(split), strict=True)
    return [f"{example.id}: {length} {lengths.unit}" for example, length in measured if length > lengths.limit]


def _unwritable(split: Sequence[Example], grammar: str) -> list[str]:
    drawn = split[:: max(1, -(-len(split) // MAX_READ_BY_GRAMMAR))]
    return [f"{each.id}: {each.sql}" for each in drawn if not can_write(grammar, each.schema, each.sql)]


class _Golds(ExitStack):
    """Runs gold queries; its databases and its sandbox are closed at the end."""

    def __init__(self, limits: Limits | None) -> None:
        super().__init__()
        self._limits = limits
        self._engines: dict[Path, OfficialEngine] = {}
        self._sandbox: Sandbox | None = None

    def try_one(self, example: Example, found: SplitReport) -> None:
        """Run the gold of ``example``, if it has rows to run on, and note what comes of it."""
        try:
            cells = self._run(example)
        except Refused as error:
            found.refused.append(f"{example.id}: {error}")
        except (SQLError, sqlite3.Error) as error:
            found.failing.append(f"{example.id}: {error}")
        else:
            if cells is not None and all(cell is None for cell in cells):
                found.empty.append(example.id)

    def _run(self, example: Example) -> list[Any] | None:
        """All cells of the answer; None if there are no rows to run on. Raises SQLError or sqlite3.Error."""
        source = example.source
        if isinstance(source, Path):
            return self._run_sql(source, example.sql)
        if source is None or example.logical_form is None:
            return None
        if source.database not in self._engines:
            self._engines[source.database] = self.enter_context(OfficialEngine(source.database))
        return self._engines[source.database].execute(source.table_id, example.logical_form)

    def _run_sql(self, database: Path, sql: str) -> list[Any]:
        if self._sandbox is None:
            self._sandbox = self.enter_context(Sandbox(self._limits))
        result = self._sandbox.run(database, sql)
        if result.truncated:
            raise SQLError("it returns more rows than the sandbox lets out, so that its answer cannot be compared")
        return [cell for row in result.rows for cell in row]
