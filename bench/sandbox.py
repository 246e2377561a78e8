"""What the sandbox costs a query: beside a plain loop over the same engine's module, for SQLite and DuckDB.

    python -m bench.sandbox [--data DATA.tar.bz2 --split test] [--queries 2000] [--rounds 3]

Without ``--data``, queries of WikiSQL's shape over tables that it makes itself, in both engines; with it, the gold
queries of a split over its own ``.db`` in SQLite. Each query is asked once a round, so that no text comes twice. The
plain loop, ``run`` and ``run_many`` take turns; printed are the milliseconds a query (p50, p95, mean), the CPU of this
process and its children, and the ratio of the sums to the plain loop. Every answer is compared with the plain one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

import duckdb

from t2s.sql.core import Condition, LogicalForm
from t2s.sql.database import Engine
from t2s.sql.official import physical_name
from t2s.sql.render import render_names
from t2s.sql.sandbox import Result, Sandbox
from t2s.sql.sandbox import guard as guard_module

Query = tuple[str, list[str]]
Rows = list[tuple[Any, ...]]
_COLUMNS, _ROWS, _TABLES = 6, 30, 100


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data is not None:
            database, queries = _golds(arguments.data, arguments.split, Path(folder))
            _compare("sqlite", database, queries[: arguments.queries], arguments.rounds)
            return
        for engine in get_args(Engine):
            database = _make(engine, Path(folder) / f"{engine}.db")
            _compare(engine, database, _queries(arguments.queries), arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an archive in WikiSQL's layout")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _compare(engine: Engine, database: Path, queries: list[Query], rounds: int) -> None:
    spent: dict[str, list[float]] = {"plain": [], "run": [], "run_many": []}
    cpu = dict.fromkeys(spent, 0.0)
    guard: list[float] = []
    with Sandbox() as sandbox, _plain(engine, database) as plain:
        sandbox.run(database, "SELECT 1")
        for _ in range(rounds):
            before = os.times()
            expected = [_timed(partial(plain, sql), spent["plain"]) for sql, _ in queries]
            cpu["plain"] += _cpu(before, os.times())
            _forget()
            before, pids = os.times(), [child.pid for child in sandbox._pool.children]
            children = sum(map(_cpu_of, pids))
            answers = [_timed(partial(sandbox.run, database, sql, tables), spent["run"]) for sql, tables in queries]
            cpu["run"] += _cpu(before, os.times()) + sum(map(_cpu_of, pids)) - children
            _check(answers, expected)
            _forget()
            before, children = os.times(), sum(map(_cpu_of, pids))
            started = time.perf_counter()
            many = sandbox.run_many(database, queries)
            spent["run_many"] += [(time.perf_counter() - started) / len(queries)] * len(queries)
            cpu["run_many"] += _cpu(before, os.times()) + sum(map(_cpu_of, pids)) - children
            _check(many, expected)
            _forget()
            for sql, _ in queries:
                _timed(partial(guard_module.guarded, sql, dialect=engine), guard)
    _print(engine, len(queries), rounds, {**spent, "(parser alone)": guard}, cpu)


def _timed(call: Callable[[], Any], times: list[float]) -> Any:
    started = time.perf_counter()
    answer = call()
    times.append(time.perf_counter() - started)
    return answer


def _forget() -> None:
    guard_module._decide.cache_clear()


def _check(answers: list[Any], expected: list[Rows]) -> None:
    for answer, rows in zip(answers, expected, strict=True):
        if not isinstance(answer, Result) or list(answer.rows) != rows:
            raise SystemExit(f"the sandbox answers otherwise than the plain loop: {answer} instead of {rows}")


def _print(engine: str, count: int, rounds: int, spent: dict[str, list[float]], cpu: dict[str, float]) -> None:
    print(f"{engine}: {count} queries, {rounds} rounds; milliseconds a query")
    print(f"  {'':<16}{'p50':>8}{'p95':>8}{'mean':>8}{'CPU':>8}{'x plain':>9}")
    for name, times in spent.items():
        cuts = statistics.quantiles(times, n=20)
        mean, ratio = statistics.fmean(times), sum(times) / sum(spent["plain"])
        used = f"{cpu[name] / len(times) * 1e3:8.3f}" if name in cpu else " " * 8
        print(f"  {name:<16}{cuts[9] * 1e3:8.3f}{cuts[18] * 1e3:8.3f}{mean * 1e3:8.3f}{used}{ratio:9.2f}")


def _cpu(before: os.times_result, after: os.times_result) -> float:
    return after.user + after.system - before.user - before.system


def _cpu_of(pid: int) -> float:
    """The CPU seconds of a living child so far (Linux); 0 where /proc is missing."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _plain(engine: str, database: Path) -> Iterator[Callable[[str], Rows]]:
    connection: Any
    if engine == "sqlite":
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    else:
        connection = duckdb.connect(database, read_only=True, config={"threads": "1"})
    yield lambda sql: connection.execute(sql).fetchall()
    connection.close()


def _make(engine: str, path: Path) -> Path:
    connection: Any = sqlite3.connect(path) if engine == "sqlite" else duckdb.connect(path)
    columns = ", ".join(f"col{i} {'DOUBLE' if i % 2 else 'TEXT'}" for i in range(_COLUMNS))
    for table in range(_TABLES):
        connection.execute(f"CREATE TABLE table_{table} ({columns})")
        values = [
            "(" + ", ".join(str(row * i) if i % 2 else f"'word {(row + i) % 7}'" for i in range(_COLUMNS)) + ")"
            for row in range(_ROWS)
        ]
        connection.execute(f"INSERT INTO table_{table} VALUES {', '.join(values)}")
    connection.commit()
    connection.close()
    return path


def _queries(count: int) -> list[Query]:
    dice = random.Random(1)
    queries: dict[str, Query] = {}
    while len(queries) < count:
        table = f"table_{dice.randrange(_TABLES)}"
        where = [
            Condition(1, dice.choice([1, 2]), dice.randrange(_ROWS)),
            Condition(2, 0, f"word {dice.randrange(7)}"),
            Condition(4, 0, f"word {dice.randrange(7)}"),
        ][: dice.randint(1, 3)]
        agg = dice.choice([0, 0, 0, 1, 2, 3, 4])
        lf = LogicalForm(3 if agg else dice.randrange(_COLUMNS), agg, tuple(where))
        sql = render_names(lf, tuple(f"col{i}" for i in range(_COLUMNS)), table)
        queries[sql] = (sql, [table])
    return list(queries.values())


def _golds(archive: Path, split: str, folder: Path) -> tuple[Path, list[Query]]:
    wanted = {f"data/{split}.jsonl", f"data/{split}.db"}
    with tarfile.open(archive) as opened:
        opened.extractall(folder, members=(each for each in opened if each.name in wanted), filter="data")
    queries: dict[str, Query] = {}
    for line in (folder / "data" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        sql, table = record["sql"], physical_name(record["table_id"])
        lf = LogicalForm(sql["sel"], sql["agg"], tuple(Condition(*condition) for condition in sql["conds"]))
        text = render_names(lf, tuple(f"col{i}" for i in range(100)), table)
        queries[text] = (text, [table])
    return folder / "data" / f"{split}.db", list(queries.values())


if __name__ == "__main__":
    main()
