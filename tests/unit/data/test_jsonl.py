"""A user's own data: what is read, and that every fault is found, with file and line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from t2s.data.core import Splits
from t2s.data.jsonl import JsonlPipeline
from t2s.errors import DataError

SCHEMA = "TABLE: staff ( id (real), name (text), salary (real) )"
GOOD = {"question": "Who earns over 5?", "sql": "SELECT name FROM staff WHERE salary > 5", "schema": SCHEMA}


def line(number: int, **fields: Any) -> dict[str, Any]:
    return {**GOOD, "question": f"Question {number}?", **fields}


def write(folder: Path, train: Any = None, val: Any = None, test: Any = None) -> Path:
    for at, (split, records) in enumerate((("train", train), ("val", val), ("test", test))):
        text = "".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records or [line(900 + at)])
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS goods (id INTEGER PRIMARY KEY, label TEXT)")
        connection.execute("CREATE TABLE IF NOT EXISTS sales (good INTEGER REFERENCES goods (id), amount REAL)")
    return folder


def read(folder: Path) -> Splits:
    """Several databases in all three splits: the commonest of small tests."""
    return JsonlPipeline(folder, allow_shared_databases=True).prepare()


def from_db(number: int, sql: str, **fields: Any) -> dict[str, Any]:
    return {"question": f"Shop {number}?", "sql": sql, "database": "shop.db", **fields}


def test_sql_within_wikisqls_form_gets_its_logical_form(tmp_path: Path) -> None:
    train, _, _ = read(write(tmp_path, [line(1), line(2, sql="SELECT name FROM staff LIMIT 1")]))
    assert train[0].logical_form is not None
    assert train[0].logical_form.to_dict() == {"sel": 1, "agg": 0, "conds": [[2, 1, 5]]}
    assert train[1].logical_form is None
    assert train[0].source is None


def test_a_database_gives_schema_keys_and_rows(tmp_path: Path) -> None:
    sql = "SELECT SUM(s.amount) FROM sales AS s JOIN goods AS g ON s.good = g.id WHERE g.label = 'tea'"
    narrow = from_db(2, "SELECT label FROM goods", table="Goods")
    train, _, _ = read(write(tmp_path, [from_db(1, sql), narrow]))
    assert [table.name for table in train[0].schema.tables] == ["goods", "sales"]
    assert len(train[0].schema.foreign_keys) == 1
    assert train[0].source == (tmp_path / "shop.db").resolve()
    assert train[1].schema.table.name == "goods"


def test_a_query_may_name_its_own_intermediate_tables(tmp_path: Path) -> None:
    sql = "WITH rich AS (SELECT * FROM staff WHERE salary > 9) SELECT name FROM rich"
    train, _, _ = read(write(tmp_path, [line(1, sql=sql)]))
    assert train[0].logical_form is None


BAD: list[tuple[Any, str]] = [
    ("{", "not JSON"),
    ('{"question": NaN}', "NaN is not a JSON number"),
    ("[]", "expected a JSON object, found a list"),
    ("", "empty line"),
    ({k: v for k, v in GOOD.items() if k != "sql"}, "field 'sql' is missing"),
    (line(1, quesion="x"), r"unknown field 'quesion' \(did you mean 'question'\?\)"),
    (line(1, question=3), "field 'question': expected a string, found a number"),
    (line(1, sql=None), "field 'sql': expected a string, found null"),
    (line(1, question=" "), "field 'question' is empty"),
    (line(1, database="shop.db"), "found both"),
    ({"question": "q", "sql": "SELECT 1"}, "found neither"),
    (line(1, schema="staff: id"), "schema, character 1"),
    (line(1, sql="SELEC name FROM staff"), "field 'sql'"),
    (line(1, sql="SELECT name FROM staff WHERE ("), "field 'sql'"),
    (line(1, sql="DROP TABLE staff"), "field 'sql'"),
    (line(1, sql="SELECT 1; SELECT 2"), "field 'sql'"),
    (
        line(1, sql="SELECT name FROM stuff WHERE id IN (1)"),
        r"unknown table 'stuff' \(did you mean 'staff'\?\)",
    ),
    (line(1, sql="SELECT nam FROM staff"), r"no column 'nam' \(did you mean 'name'\?\)"),
    (
        from_db(1, "SELECT label FROM goods", database="shop2.db"),
        r"'shop2.db' .*did you mean 'shop.db'",
    ),
    (from_db(1, "SELECT label FROM goods", table="good"), r"unknown table 'good' \(did you mean 'goods'\?\)"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"train\.jsonl:2: .*{message}"):
        JsonlPipeline(write(tmp_path, [line(7), bad])).prepare()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf{}\n", r"val\.jsonl:1: starts with a byte order mark"),
        (b'{"question": "\xff"}\n', r"val\.jsonl:1: not UTF-8"),
        (b"", r"val\.jsonl: is empty"),
        (b'{"question": ' + b"[" * 100_000 + b"\n", r"val\.jsonl:1: not JSON"),
    ],
)
def test_a_file_that_is_not_json_lines_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path)
    (tmp_path / "val.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_missing_file_and_a_misnamed_one_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "val.jsonl").rename(tmp_path / "dev.jsonl")
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert "rename dev.jsonl to val.jsonl" in str(caught.value)
    assert "test.jsonl: no such file" in str(caught.value)


def test_all_faults_are_counted_and_twenty_are_shown(tmp_path: Path) -> None:
    write(tmp_path, train=["{"] * 15, test=["{"] * 15)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("30 faults in ")
    assert len(lines) == 1 + 20 + 2
    assert lines[-2] == "... and 10 more"
    assert "data.skip_bad=true" in lines[-1]
    assert caught.value.exit_code == 3


def test_a_question_in_two_splits_is_refused_whatever_its_case_and_spacing(tmp_path: Path) -> None:
    write(tmp_path, train=[line(1)], test=[line(1, question="QUESTION  1?")])
    with pytest.raises(DataError, match=r"test\.jsonl:1: the same question over the same schema as .*train\.jsonl:1"):
        read(tmp_path)


def test_the_same_question_over_another_schema_is_no_leak(tmp_path: Path) -> None:
    other = "TABLE: staff ( name (text), salary (real) )"
    write(tmp_path, train=[line(1)], test=[line(1, schema=other)])
    assert len(read(tmp_path)[2]) == 1


def test_ids_are_kept_and_may_not_repeat_in_a_split(tmp_path: Path) -> None:
    assert read(write(tmp_path, [line(1, id="mine")]))[0][0].id == "mine"
    write(tmp_path, [line(1, id="mine"), line(2, id="mine")])
    with pytest.raises(DataError, match=r"train\.jsonl:2: id 'mine' occurs twice"):
        read(tmp_path)
