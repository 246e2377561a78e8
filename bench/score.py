"""Scoring speed beside a plain loop over ``sqlite3`` that runs the very same physical queries.

    python -m bench.score --data ../shared/wikisql/data.tar.bz2 [--split test] [--rounds 3] [--cache-dir runs/cache]

The predictions are the golds as SQL text, scored with both rules, in two spellings: as the model is taught (read to a
logical form, which t2s runs itself with its values bound), and outside WikiSQL's form (``... LIMIT 1000000``:
rewritten and run as text in the sandbox). The plain loop executes gold and prediction on an open connection, fetches
and compares; it parses nothing, checks nothing and guards nothing. Each is measured in turn, CPU with its children;
the best round of each counts, as other work on the machine only adds. Reading the files is not in it; starting and
ending the sandbox is.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from t2s.data.archive import unpack
from t2s.data.core import Example, TableRef
from t2s.evaluate.predictions import read_golds
from t2s.evaluate.score import Scorer
from t2s.sql.database import read_only_uri
from t2s.sql.official import OfficialEngine
from t2s.sql.rebind import rebind

Query = tuple[str, Mapping[str, Any]]
OUTSIDE = " LIMIT 1000000"
"""Changes no result here, and WikiSQL's form cannot say it."""


class Recorder(OfficialEngine):
    """Notes what it runs."""

    def __init__(self, database: Path) -> None:
        super().__init__(database)
        self.queries: list[Query] = []

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """As the engine does."""
        self.queries.append((sql, dict(parameters)))
        return super().rows(sql, parameters)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache-dir", type=Path, default=Path("runs/cache"))
    given = parser.parse_args()
    root = given.data if given.data.is_dir() else unpack(given.data, given.cache_dir)
    examples = [example for example in read_golds(root, given.split) if isinstance(example.source, TableRef)]
    golds = _physical(examples)
    for name, texts, queries in (
        ("as a logical form", [e.sql for e in examples], golds),
        ("in the sandbox", [e.sql + OUTSIDE for e in examples], [(_rebound(e), {}) for e in examples]),
    ):
        _report(name, examples, texts, list(zip(golds, queries, strict=True)), given.rounds)


def _physical(examples: Sequence[Example]) -> list[Query]:
    """What the official rules run for each gold."""
    with Recorder(_database(examples)) as engine:
        for example in examples:
            assert isinstance(example.source, TableRef) and example.logical_form
            engine.execute(example.source.table_id, example.logical_form)
        return engine.queries


def _rebound(example: Example) -> str:
    assert isinstance(example.source, TableRef)
    return rebind(example.sql + OUTSIDE, example.schema.table, example.source.table_id)


def _database(examples: Sequence[Example]) -> Path:
    source = examples[0].source
    assert isinstance(source, TableRef)
    return source.database


def _report(
    name: str, examples: Sequence[Example], texts: Sequence[str], pairs: Sequence[tuple[Query, Query]], rounds: int
) -> None:
    ours, plain = [], []
    ran: dict[str, int] = {}
    for _ in range(rounds):
        ours.append(_measured(lambda: ran.update(_score(examples, texts))))
        plain.append(_measured(lambda: _loop(_database(examples), pairs)))
    n = len(examples)
    print(f"{name}: {n} questions, best of {rounds}; run as " + ", ".join(f"{k} {v}" for k, v in ran.items()))
    for who, times in (("t2s, both scores", ours), ("plain sqlite3 loop", plain)):
        cpu, wall = min(times)
        print(f"  {who:<20} {cpu:.3f} CPU s  {wall:.3f} s  {1e3 * cpu / n:.3f} CPU ms a question")
    print(f"  ratio                {min(ours)[0] / min(plain)[0]:.2f} × (CPU)")


def _score(examples: Sequence[Example], texts: Sequence[str]) -> dict[str, int]:
    ran: dict[str, int] = {}
    with Scorer() as scorer:
        for example, text in zip(examples, texts, strict=True):
            verdict = scorer.score(example, text)
            if not (verdict.ex and verdict.repaired_ex):
                raise SystemExit(f"{example.id}: a gold that is not right: {verdict}")
            ran[str(verdict.ran)] = ran.get(str(verdict.ran), 0) + 1
    return ran


def _loop(database: Path, pairs: Sequence[tuple[Query, Query]]) -> None:
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        for (gold, gold_values), (sql, values) in pairs:
            expected = connection.execute(gold, gold_values).fetchall()
            if connection.execute(sql, values).fetchall() != expected:
                raise SystemExit(f"{sql}: another result than {gold}")


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, of ended children too, and wall seconds."""
    cpu, wall = _cpu(), time.perf_counter()
    work()
    return _cpu() - cpu, time.perf_counter() - wall


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
