"""Look for what makes scores wrong: golds that fail or find nothing, duplicates, leaks between the splits.

Gold queries come with the data and are trusted: they run read-only and with a deadline, but not in the
sandbox that model-written SQL needs. Not covered: whether a question means what its query asks.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from t2s.data.core import Example, Splits, TableRef
from t2s.errors import SQLError
from t2s.sql.database import read_only_uri
from t2s.sql.official import OfficialEngine
from t2s.sql.parse import parse
from t2s.sql.schema import render_schema

SPLITS = ("train", "val", "test")
GOLD_TIMEOUT_S = 5.0
MAX_SHOWN = 5

Progress = Callable[[int, int], None]
"""Called with the number of examples looked at, and of all."""


@dataclass
class SplitReport:
    """What was found in one split; the lists hold ``id`` or ``id: what is wrong``."""

    examples: int = 0
    tables: int = 0
    without_rows: int = 0
    duplicates: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    not_read_back: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was found in all splits; ``leaks`` are errors, ``shared_tables`` are for the reader to judge."""

    splits: dict[str, SplitReport]
    leaks: list[str] = field(default_factory=list)
    shared_tables: list[str] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Findings that make a score wrong: questions in two splits, failing golds of val and test, bad SQL.

        A gold of train that fails teaches little and scores nothing: it is shown, and no error.
        """
        failing = sum(len(self.splits[name].failing) for name in SPLITS[1:])
        return len(self.leaks) + failing + sum(len(split.not_read_back) for split in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {**asdict(self), "errors": self.errors}

    def rows(self) -> list[list[str]]:
        """A line for each kind of finding, a column for each split."""
        names = {
            "examples": "examples",
            "tables": "tables or databases",
            "without_rows": "examples without rows (no EX)",
            "duplicates": "duplicates",
            "empty": "gold finds nothing",
            "failing": "gold fails",
            "not_read_back": "SQL does not read back",
        }
        counts = [[_number(getattr(split, key)) for split in self.splits.values()] for key in names]
        return [[name, *row] for name, row in zip(names.values(), counts, strict=True)]

    def findings(self) -> list[str]:
        """Lines that name the first findings of each kind."""
        lines: list[str] = []
        for name, split in self.splits.items():
            lines += _first(f"{name}: gold fails", split.failing)
            lines += _first(f"{name}: SQL does not read back as its logical form", split.not_read_back)
            lines += _first(f"{name}: gold finds nothing (any empty answer counts as right)", split.empty)
            lines += _first(f"{name}: same question, schema and SQL as an earlier one", split.duplicates)
        lines += _first("the same question over the same schema in two splits", self.leaks)
        return lines + _first("tables in two splits: the score says little about unseen tables", self.shared_tables)


def check(splits: Splits, progress: Progress | None = None) -> Report:
    """Look at every example, and run every gold query that has rows to run on."""
    report = Report({name: SplitReport() for name in SPLITS})
    done, total = 0, sum(len(split) for split in splits)
    repeats = _Repeats()
    with _Golds() as golds:
        for name, split in zip(SPLITS, splits, strict=True):
            for example in split:
                _look(example, name, report, repeats)
                _try_gold(example, report.splits[name], golds)
                done += 1
                if progress and (done % 200 == 0 or done == total):
                    progress(done, total)
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
        return self.texts.setdefault(id(example.schema), "") or self._text(example)

    def _text(self, example: Example) -> str:
        self.texts[id(example.schema)] = render_schema(example.schema)
        return self.texts[id(example.schema)]


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
    elif first is not example and first.sql == example.sql:
        found.duplicates.append(example.id)


def _try_gold(example: Example, found: SplitReport, golds: _Golds) -> None:
    """Read the gold query back, and run it."""
    try:
        form = example.logical_form
        if form is not None and parse(example.sql, example.schema.table) != form:
            found.not_read_back.append(f"{example.id}: {example.sql}")
    except SQLError as error:
        found.not_read_back.append(f"{example.id}: {error}")
    try:
        cells = golds.run(example)
    except (SQLError, sqlite3.Error) as error:
        found.failing.append(f"{example.id}: {error}")
    else:
        if cells is not None and all(cell is None for cell in cells):
            found.empty.append(example.id)


class _Golds(ExitStack):
    """Open databases to run gold queries on, closed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._engines: dict[Path, OfficialEngine] = {}
        self._connections: dict[Path, sqlite3.Connection] = {}

    def run(self, example: Example) -> list[Any] | None:
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
        if database not in self._connections:
            connection = sqlite3.connect(read_only_uri(database), uri=True)
            self._connections[database] = self.enter_context(closing(connection))
        connection = self._connections[database]
        deadline = time.monotonic() + GOLD_TIMEOUT_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        return [cell for row in connection.execute(sql) for cell in row]


def _number(value: Any) -> str:
    return str(len(value) if isinstance(value, list) else value)


def _first(title: str, findings: Sequence[str]) -> list[str]:
    if not findings:
        return []
    more = [f"  ... and {len(findings) - MAX_SHOWN} more"] if len(findings) > MAX_SHOWN else []
    return [f"{title}: {len(findings)}", *(f"  {finding}" for finding in findings[:MAX_SHOWN]), *more]
