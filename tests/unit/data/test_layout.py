"""Reading the official layout: what comes out, what is refused, and the database that is made of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.core import TableRef
from t2s.data.export import export_sqlite, unique_names
from t2s.data.layout import read_split
from t2s.data.wikisql import WikiSQLPipeline
from t2s.errors import DataError

TABLE = {"id": "1-2-3", "header": ["Name", "Age"], "types": ["text", "real"], "rows": [["Ann", 3], ["Bo", 5]]}
QUESTION = {"table_id": "1-2-3", "question": "Who is 5?", "sql": {"sel": 0, "agg": 0, "conds": [[1, 0, 5]]}}


def write(folder: Path, questions: list[Any], tables: list[Any], database: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("dev.jsonl", questions), ("dev.tables.jsonl", tables)):
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    if database:
        with closing(sqlite3.connect(folder / "dev.db")) as connection:
            connection.execute("CREATE TABLE table_1_2_3 (col0 text, col1 real)")
            connection.commit()
    return folder


def name_of(record: dict[str, Any]) -> str:
    return str(record.get("name", "table"))


def test_an_example_carries_question_schema_sql_form_and_rows(tmp_path: Path) -> None:
    [example] = read_split(write(tmp_path / "data", [QUESTION], [TABLE]).parent, "dev", name_of)
    assert example.sql == """SELECT "Name" FROM "table" WHERE "Age" = 5"""
    assert [column.type for column in example.schema.table.columns] == ["text", "real"]
    assert example.logical_form is not None and example.logical_form.conds[0].value == 5
    assert example.source == TableRef((tmp_path / "data" / "dev.db").resolve(), "1-2-3")


def test_the_files_may_lie_in_the_directory_itself(tmp_path: Path) -> None:
    assert len(read_split(write(tmp_path, [QUESTION], [TABLE]), "dev", name_of)) == 1


def test_examples_of_one_table_share_its_schema(tmp_path: Path) -> None:
    first, second = read_split(write(tmp_path, [QUESTION, QUESTION], [TABLE]), "dev", name_of)
    assert first.schema is second.schema


def test_without_a_database_there_is_no_source(tmp_path: Path) -> None:
    [example] = read_split(write(tmp_path, [QUESTION], [TABLE], database=False), "dev", name_of)
    assert example.source is None


def test_a_table_without_rows_has_no_source(tmp_path: Path) -> None:
    [example] = read_split(write(tmp_path, [QUESTION], [{**TABLE, "rows": []}]), "dev", name_of)
    assert example.source is None


def test_a_repeated_header_becomes_two_names_that_sql_can_tell_apart(tmp_path: Path) -> None:
    table = {**TABLE, "header": ["Name", "Name"]}
    [example] = read_split(write(tmp_path, [QUESTION], [table]), "dev", name_of)
    names = [column.name for column in example.schema.table.columns]
    assert len(set(names)) == 2
    assert f'"{names[1]}" = 5' in example.sql


BAD_QUESTIONS: list[tuple[Any, str]] = [
    ("{", r"dev\.jsonl:2: not JSON"),
    ("[1]", r"dev\.jsonl:2: expected a JSON object, found a list"),
    ("", r"dev\.jsonl:2: empty line"),
    ('{"table_id": NaN}', r"dev\.jsonl:2: not JSON: NaN"),
    ({**QUESTION, "table_id": "1-2-4"}, r"dev\.jsonl:2: table_id '1-2-4' .*did you mean '1-2-3'"),
    ({"tableid": "1-2-3"}, r"dev\.jsonl:2: field 'table_id'.*missing.*did you mean 'tableid'"),
    ({**QUESTION, "question": 5}, r"dev\.jsonl:2: field 'question': expected a string, found a number"),
    ({**QUESTION, "sql": {"sel": 9, "agg": 0, "conds": []}}, r"dev\.jsonl:2: field 'sql'.*9"),
    ({**QUESTION, "sql": {"sel": 0, "agg": 6, "conds": []}}, r"dev\.jsonl:2: field 'sql'.*6"),
    ({**QUESTION, "sql": {"sel": 0, "agg": 0, "conds": [[1, 3, 1]]}}, r"dev\.jsonl:2: field 'sql'.*3"),
    ({**QUESTION, "sql": {"sel": 0, "agg": 0, "conds": [[1, 0, None]]}}, r"dev\.jsonl:2: field 'sql'.*None"),
    ({**QUESTION, "sql": "SELECT 1"}, r"dev\.jsonl:2: field 'sql'"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_QUESTIONS)
def test_a_bad_question_is_named_by_file_and_line(tmp_path: Path, bad: Any, message: str) -> None:
    write(tmp_path, [QUESTION, bad], [TABLE])
    with pytest.raises(DataError, match=message):
        read_split(tmp_path, "dev", name_of)


BAD_TABLES: list[tuple[Any, str]] = [
    ({**TABLE, "header": []}, r"tables\.jsonl:1: field 'header'"),
    ({**TABLE, "types": ["text"]}, r"tables\.jsonl:1: field 'types': expected one type for each of the 2"),
    ({**TABLE, "types": ["text", "date"]}, r"tables\.jsonl:1: field 'types': 'date' is not one of"),
    ({**TABLE, "rows": [["Ann"]]}, r"tables\.jsonl:1: row 1: expected 2 cells, one a column, found 1"),
    ({**TABLE, "rows": {}}, r"tables\.jsonl:1: field 'rows'"),
    ({**TABLE, "id": None}, r"tables\.jsonl:1: field 'id'"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_TABLES)
def test_a_bad_table_is_named_by_file_and_line(tmp_path: Path, bad: Any, message: str) -> None:
    write(tmp_path, [QUESTION], [bad])
    with pytest.raises(DataError, match=message):
        read_split(tmp_path, "dev", name_of)


def test_two_tables_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tables\.jsonl:2: table id '1-2-3' occurs twice"):
        read_split(write(tmp_path, [QUESTION], [TABLE, TABLE]), "dev", name_of)


def test_a_byte_order_mark_latin_1_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [QUESTION], [TABLE])
    for content, message in (
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": "\xe9"}', "not UTF-8"),
        (b"", "is empty"),
    ):
        (tmp_path / "dev.jsonl").write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_split(tmp_path, "dev", name_of)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [QUESTION], [TABLE])
    (tmp_path / "dev.db").write_bytes(b"not a database, whatever its name says" * 40)
    with pytest.raises(DataError, match=r"dev\.db: not a SQLite database"):
        read_split(tmp_path, "dev", name_of)


def test_a_missing_split_and_a_missing_directory_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train\.jsonl"):
        read_split(write(tmp_path, [QUESTION], [TABLE]), "train", name_of)
    with pytest.raises(DataError, match="t2s data fetch"):
        WikiSQLPipeline(cache_dir=tmp_path / "nothing").prepare()
    with pytest.raises(DataError, match=r"no WikiSQL at .*nowhere: check data\.path"):
        WikiSQLPipeline(tmp_path / "nowhere").prepare()


def test_export_writes_real_names_and_original_case(tmp_path: Path) -> None:
    tables = [
        {**TABLE, "name": "people"},
        {**TABLE, "id": "1-2-4", "name": "People", "header": ["name", "Name"]},
    ]
    write(tmp_path, [QUESTION], tables)
    names = export_sqlite(tmp_path, "dev", tmp_path / "out" / "user.db", table_name=name_of)
    assert names == ["people", "People_2"]
    with closing(sqlite3.connect(tmp_path / "out" / "user.db")) as connection:
        assert connection.execute('SELECT "Name" FROM people WHERE "Age" = 5').fetchall() == [("Bo",)]
        assert connection.execute('SELECT "Name_2" FROM "People_2"').fetchall() == [(3.0,), (5.0,)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["user.db"]


def test_export_takes_the_tables_it_is_given_and_refuses_unknown_ones(tmp_path: Path) -> None:
    write(tmp_path, [QUESTION], [TABLE, {**TABLE, "id": "1-2-4", "rows": []}])
    assert export_sqlite(tmp_path, "dev", tmp_path / "a.db", ["1-2-3"]) == ["1-2-3"]
    with pytest.raises(DataError, match="no table '1-2-4' with rows"):
        export_sqlite(tmp_path, "dev", tmp_path / "b.db", ["1-2-4"])
    assert not (tmp_path / "b.db").exists()


@given(st.lists(st.text(max_size=6), min_size=1, max_size=6))
def test_unique_names_are_accepted_by_sqlite_whatever_they_were(names: list[str]) -> None:
    printable = [name.encode("utf-8", "ignore").decode() for name in names]
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in unique_names(printable, "column"))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
