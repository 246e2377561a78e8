"""Questions in files: three formats read alike, every fault with its place, whole files written or none."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from t2s.cli.infer_files import answered, check_output, format_of, read_questions, read_source, write_answers
from t2s.errors import ConfigError, DataError

SCHEMA = "TABLE: t ( a (real) )"
ROWS = [
    {"id": "x", "question": "Who, and why?", "schema": SCHEMA, "note": 'say "hi"\nthere'},
    {"id": "y", "question": "Wer?", "schema": SCHEMA, "note": None},
]


def save(file: Path) -> Path:
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif file.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
    else:
        write_answers(ROWS, file)
    return file


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_the_formats_say_the_same_and_come_back_as_they_were(ending: str, tmp_path: Path) -> None:
    asked = read_questions(save(tmp_path / f"in{ending}"))
    assert [each.row for each in asked] == ROWS
    rows = [answered(each.row, "SELECT 1", True, "3") for each in asked]
    check_output(tmp_path / f"out{ending}", asked)
    write_answers(rows, tmp_path / f"out{ending}")
    again = read_questions(tmp_path / f"out{ending}")
    assert [each.row["input_sql"] if "input_sql" in each.row else each.row["sql"] for each in again] == ["SELECT 1"] * 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"in{ending}", f"out{ending}"]


def test_rows_get_a_number_as_id_and_keep_columns_that_answers_add(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps({"question": "Who?", "schema": SCHEMA, "sql": "gold"}) + "\n")
    asked = read_questions(file)
    row = answered(asked[0].row, "SELECT 1", False, "none")
    assert (row["id"], row["input_sql"], row["sql"], row["finished"]) == (1, "gold", "SELECT 1", False)


def test_databases_lie_beside_the_file_and_a_default_serves_rows_that_name_nothing(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.execute("CREATE TABLE people (name TEXT)")
    (tmp_path / "q.csv").write_text("question,database,table\nHow many?,shop.db,orders\nWho?,,\n")
    asked = read_questions(tmp_path / "q.csv", read_source(SCHEMA, None, None))
    assert [[table.name for table in each.source.schema.tables] for each in asked] == [["orders"], ["t"]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.csv", b"a,b\n1,2\n", ":1: the header"),
        ("q.csv", b"question,schema\nWho?,x,y\n", ":2: has not as many cells"),
        ("q.csv", b'question,schema\n"Wh', ":1: cannot be read as CSV"),
        ("q.csv", b"question,schema\n\xff,\n", ": cannot be read as CSV in UTF-8"),
        ("q.csv", b"question,schema\nWho?,\n", ":2: needs either a schema or a database"),
        ("q.csv", b"question,schema\n", "holds no questions"),
        ("q.csv", b"question,database\nWho?,none.db\n", ":2: "),
        ("q.parquet", b"PAR1 or not", ": cannot be read as Parquet"),
        ("q.jsonl", b'{"question": "Who?", "schema": 5}\n', ":1: schema is not text"),
        ("q.jsonl", b'{"question": "Who?", "schema": "TABLE: t"}\n', ":1: "),
        ("q.jsonl", b'{"question": " "}\n{"question": "x", "x": NaN}\n', ":2: "),
    ],
)
def test_what_is_wrong_is_listed_with_its_place(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_questions(tmp_path / name)
    assert said in str(raised.value) and "give each row a question" in str(raised.value)


def test_an_output_that_could_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        "".join(json.dumps({"question": "Who?", "schema": SCHEMA, "n": n}) + "\n" for n in (1, "two"))
    )
    asked = read_questions(tmp_path / "q.jsonl")
    with pytest.raises(DataError, match=r"'n' mixes types .* \.jsonl"):
        check_output(tmp_path / "out.parquet", asked)
    with pytest.raises(ConfigError, match="never overwritten"):
        check_output(tmp_path / "q.jsonl", asked)
    with pytest.raises(ConfigError, match="there is no folder"):
        check_output(tmp_path / "absent" / "out.csv", asked)
    with pytest.raises(ConfigError, match=r"did you mean '\.jsonl'"):
        format_of(tmp_path / "out.json", "--output")
