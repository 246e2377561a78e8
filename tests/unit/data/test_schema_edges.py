"""Schemas at the edge of what databases allow: read, rendered and read back, asked, checked (promise M4)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.config import PromptConfig
from t2s.data.check import check
from t2s.data.jsonl import JsonlPipeline
from t2s.prompt import build_prompt
from t2s.sql.core import Schema
from t2s.sql.schema import parse_schema, quote_name, render_schema

WIDE = [f"column {number}" for number in range(500)]

CASES: dict[str, tuple[str, str]] = {
    "reserved words": (
        """CREATE TABLE "order" ("select" TEXT, "from" REAL, "group" TEXT);
           INSERT INTO "order" VALUES ('a', 1, 'b')""",
        """SELECT "from" FROM "order" WHERE "select" = 'a'""",
    ),
    "spaces and punctuation": (
        """CREATE TABLE "my table (old), 2" (" a " TEXT, "b, c" REAL, "d (e)" TEXT, "TABLE: x" REAL);
           INSERT INTO "my table (old), 2" VALUES ('a', 1, 'b', 2)""",
        """SELECT "b, c" FROM "my table (old), 2" WHERE "d (e)" = 'b'""",
    ),
    "unicode": (
        """CREATE TABLE "Städte" ("名前" TEXT, "größe 🌍" REAL, "e\u0301" TEXT);
           INSERT INTO "Städte" VALUES ('Köln', 1, 'x')""",
        """SELECT "größe 🌍" FROM "Städte" WHERE "名前" = 'Köln'""",
    ),
    "quotes": (
        '''CREATE TABLE "it's ""so""" ("a""b" TEXT, "c'd" REAL);
           INSERT INTO "it's ""so""" VALUES ('x', 1)''',
        '''SELECT "c'd" FROM "it's ""so""" WHERE "a""b" = 'x' ''',
    ),
    "500 columns": (
        f"""CREATE TABLE wide ({", ".join(quote_name(name) + " REAL" for name in WIDE)});
            INSERT INTO wide VALUES ({", ".join("1" for _ in WIDE)})""",
        'SELECT "column 499" FROM wide WHERE "column 0" = 1',
    ),
    "an empty table": ("CREATE TABLE t (a TEXT, b)", "SELECT a FROM t"),
    "a view": (
        """CREATE TABLE t (a TEXT, b REAL); INSERT INTO t VALUES ('x', 2);
           CREATE VIEW v AS SELECT a, b * 2 AS c FROM t""",
        "SELECT c FROM v WHERE a = 'x'",
    ),
    "a view whose columns have no names": (
        """CREATE TABLE t (a REAL); INSERT INTO t VALUES (2);
           CREATE VIEW v AS SELECT COUNT(*), a + 1 FROM t""",
        'SELECT "COUNT(*)" FROM v',
    ),
    "cyclic keys": (
        """CREATE TABLE a (id INTEGER PRIMARY KEY, b_id REFERENCES b (id));
           CREATE TABLE b (id INTEGER PRIMARY KEY, a_id REFERENCES a, self REFERENCES b (id));
           INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1, 1)""",
        "SELECT a.id FROM a JOIN b ON a.b_id = b.id",
    ),
    "a column without a type": ("CREATE TABLE t (a, b BLOB); INSERT INTO t VALUES ('x', NULL)", "SELECT a FROM t"),
}


def data(folder: Path, script: str, sql: str) -> Path:
    with closing(sqlite3.connect(folder / "own.db")) as connection:
        connection.executescript(script)
    for split in ("train", "val", "test"):
        record = {"question": f"What of {split}?", "sql": sql, "database": "own.db"}
        (folder / f"{split}.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return folder


def keys(schema: Schema) -> set[tuple[str, str, str, str]]:
    return {(key.table, key.column, key.other_table, key.other_column) for key in schema.foreign_keys}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_and_rendered_and_its_gold_runs(tmp_path: Path, name: str) -> None:
    splits = JsonlPipeline(data(tmp_path, *CASES[name])).prepare()
    [example] = splits[2]
    assert parse_schema(render_schema(example.schema)) == example.schema
    prompt = build_prompt(example.question, example.schema, PromptConfig())
    assert prompt.endswith("QUESTION: What of test?\nSQL:")
    report = check(splits)
    assert report.errors == 0, report.findings()
    assert bool(report.splits["test"].empty) == (name == "an empty table")


def test_keys_in_a_circle_are_all_there(tmp_path: Path) -> None:
    [example] = JsonlPipeline(data(tmp_path, *CASES["cyclic keys"])).prepare()[0]
    found = {("a", "b_id", "b", "id"), ("b", "a_id", "a", "id"), ("b", "self", "b", "id")}
    assert keys(example.schema) == keys(parse_schema(render_schema(example.schema))) == found


def test_tables_narrow_the_schema_and_keep_the_keys_between_them(tmp_path: Path) -> None:
    folder = data(tmp_path, CASES["cyclic keys"][0] + "; CREATE TABLE c (a_id REFERENCES a (id))", "SELECT id FROM a")
    record = {"question": "q", "sql": "SELECT id FROM A", "database": "own.db", "tables": ["B", "a"]}
    (folder / "train.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    [example] = JsonlPipeline(folder).prepare()[0]
    assert [table.name for table in example.schema.tables] == ["a", "b"]
    assert len(example.schema.foreign_keys) == 3
