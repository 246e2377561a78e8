"""No gold query of the shared dev and test questions is refused, and each gives what plain SQLite gives."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest

from t2s.sql.core import Column, Condition, LogicalForm, Table
from t2s.sql.official import physical_name
from t2s.sql.render import render, render_names
from t2s.sql.sandbox import Result, Sandbox, check_read_only
from t2s.sql.syntax import Dialect


@pytest.fixture(scope="module")
def data(shared_wikisql: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golds")
    wanted = {f"data/{split}{suffix}" for split in ("dev", "test") for suffix in (".jsonl", ".tables.jsonl", ".db")}
    with tarfile.open(shared_wikisql / "data.tar.bz2") as archive:
        archive.extractall(folder, members=(each for each in archive if each.name in wanted), filter="data")
    return folder / "data"


@pytest.mark.parametrize(("split", "count"), [("dev", 1000), ("test", 2003)])
def test_no_gold_query_is_refused(data: Path, split: str, count: int) -> None:
    schemas = {table.name: table for table in map(_table, _records(data / f"{split}.tables.jsonl"))}
    golds = [(_logical_form(record["sql"]), record["table_id"]) for record in _records(data / f"{split}.jsonl")]
    assert len(golds) == count
    asked = []
    for lf, table_id in golds:
        table = schemas[table_id]
        for dialect in get_args(Dialect):
            check_read_only(render(lf, table), dialect=dialect)
        columns = tuple(f"col{i}" for i in range(len(table.columns)))
        asked.append((render_names(lf, columns, physical_name(table_id)), [physical_name(table_id)]))
    database = data / f"{split}.db"
    with Sandbox() as sandbox, closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as plain:
        for (sql, _), answer in zip(asked, sandbox.run_many(database, asked), strict=True):
            assert isinstance(answer, Result), (sql, answer)
            assert list(answer.rows) == plain.execute(sql).fetchall()


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _table(record: dict[str, Any]) -> Table:
    return Table(str(record["id"]), tuple(Column(name) for name in record["header"]))


def _logical_form(sql: dict[str, Any]) -> LogicalForm:
    return LogicalForm(sql["sel"], sql["agg"], tuple(Condition(*condition) for condition in sql["conds"]))
