"""A CSV file that comes with its question: how it is read, what is refused, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from serve_rig import SCHEMA, Rig

from t2s.errors import DataError
from t2s.serve.schemas import MAX_BODY_BYTES, CsvFile
from t2s.serve.uploaded import import_csv
from t2s.sql.schema import render_schema, schema_of_database

STAFF = "id,name,salary\n1,Ann,10.5\n2,Bo,\n3,Cy,30\n"


def imported(folder: Path, text: str, name: str = "t.csv") -> tuple[str, list[tuple[Any, ...]]]:
    """The schema in its text form, and the rows."""
    path = folder / "csv.db"
    path.unlink(missing_ok=True)
    import_csv(CsvFile(name=name, text=text), path)
    schema = schema_of_database(path)
    with closing(sqlite3.connect(path)) as connection:
        table = schema.table.name.replace('"', '""')
        return render_schema(schema), connection.execute(f'SELECT * FROM "{table}"').fetchall()


@pytest.mark.parametrize(
    ("text", "schema", "rows"),
    [
        (STAFF, "id (real), name (text), salary (real)", [(1, "Ann", 10.5), (2, "Bo", None), (3, "Cy", 30.0)]),
        ("\ufeffa;b\r\n1;2,5\r\n\r\n", "a (real), b (text)", [(1, "2,5")]),
        ("a\tb\n-1\t+2.5e3\n", "a (real), b (real)", [(-1, 2500.0)]),
        ("zip,big,hex\n0042,1234567890123456,1e999\n", "zip (text), big (text), hex (text)",
         [("0042", "1234567890123456", "1e999")]),
        ("day,nan,arabic\n2024-01-02,nan,٣\n", "day (text), nan (text), arabic (text)", [("2024-01-02", "nan", "٣")]),
        ('a,b\n"x, ""y""\nz",\u2028\n', "a (text), b (text)", [('x, "y"\nz', None)]),
        ("Name,name,NAME 2,\nx,y,z,w\n", "Name (text), name 3 (text), NAME 2 (text), column 4 (text)",
         [("x", "y", "z", "w")]),
        ('"a ""b"" (c), d"\n1\n', '"a ""b"" (c), d" (real)', [(1,)]),
        ("only\n", "only (text)", []),
    ],
)  # fmt: skip
def test_columns_get_types_and_names_that_sql_can_say(
    tmp_path: Path, text: str, schema: str, rows: list[tuple[Any, ...]]
) -> None:
    assert imported(tmp_path, text) == (f"TABLE: t ( {schema} )", rows)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("Sales 2024 (final).csv", "Sales_2024_final"),
        ("../../etc/passwd", "passwd"),
        ("C:\\me\\x.tsv", "x"),
        ("2024.csv", "t_2024"),
        ("sqlite_master.csv", "t_sqlite_master"),
        (".csv", "csv"),
        ("<script>.csv", "script"),
        ("价格.csv", "价格"),
        ("---", "data"),
    ],
)
def test_the_table_is_named_after_the_file_with_a_word(tmp_path: Path, name: str, table: str) -> None:
    assert imported(tmp_path, "a\n1\n", name)[0] == f"TABLE: {table} ( a (real) )"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3: 1 cells under a header of 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells under a header of 2"),
        ('a\n"x\n', "line 2: unexpected end of data"),
        ('a\n"x"y\n', "line 2: "),
        (" \n\n", "there is no header"),
        (",".join("x" * 501), "501 columns; at most 500"),
        ("x" * 201, "longer than 200"),
        (",".join(f"{n}{'x' * 150}" for n in range(400)), "schema of .* characters"),
        ("a\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, text)


def test_a_file_comes_with_its_question_and_is_gone_after_it(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = rig.post("/v1/sql", {"question": "everybody", "csv": {"name": "employees.csv", "text": STAFF}}).json()
    assert (answer["verdict"], answer["rows"]) == ("ok", [["Ann", 10.5], ["Bo", None], ["Cy", 30.0]])
    assert answer["schema"] == "TABLE: employees ( id (real), name (text), salary (real) )"
    assert list(tmp_path.iterdir()) == []
    assert rig.post("/v1/sql", {"question": "x", "schema": SCHEMA}).json()["schema"] is None


def test_a_file_that_is_no_table_or_a_model_that_fails_leaves_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bad = rig.post("/v1/sql", {"question": "everybody", "csv": {"name": "x.csv", "text": "a,b\n1\n"}})
    assert bad.status_code == 422 and bad.json()["error"] == "csv, line 2: 1 cells under a header of 2"
    long = rig.post("/v1/sql", {"question": "everybody", "csv": {"name": "x.csv", "text": "x" * 140_000}})
    assert long.status_code == 422 and long.json()["error"].startswith("csv, line 1: field larger than")
    failed = rig.post("/v1/sql", {"question": "impossible", "csv": {"name": "x.csv", "text": STAFF}})
    assert failed.status_code == 422 and list(tmp_path.iterdir()) == []


def test_the_model_cannot_reach_beyond_the_file(rig: Rig) -> None:
    asked = {"question": "hostile", "csv": {"name": "employees.csv", "text": STAFF}}
    assert rig.post("/v1/sql", asked).json()["verdict"] == "refused"
    other = rig.post("/v1/sql", {"question": "everybody", "csv": {"name": "other.csv", "text": STAFF}}).json()
    assert (other["verdict"], other["rows"]) == ("execution_error", [])  # the attached database has that table


def test_a_file_is_private_while_its_question_waits_and_gone_when_the_caller_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    rig = Rig(tmp_path)

    async def leave() -> list[int]:
        async with rig.client() as client:
            body = {"question": "slow", "csv": {"name": "x.csv", "text": STAFF}}
            asking = asyncio.create_task(client.post("/v1/sql", json=body))
            await asyncio.to_thread(rig.rules.slow.wait, 5)
            modes = [path.stat().st_mode & 0o777 for path in folder.iterdir()]
            asking.cancel()
            await asyncio.wait([asking])
            return modes

    assert asyncio.run(leave()) == [0o700]
    rig.service.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ({"csv": {"name": "x.csv", "text": STAFF}, "schema": SCHEMA}, 422, "either a schema or a database or a csv"),
        ({"csv": {"name": "x.csv", "text": STAFF}, "table": "x"}, 422, "table goes with database"),
        ({"csv": {"name": "", "text": STAFF}}, 422, "csv.name"),
        ({"csv": {"name": "x.csv", "text": ""}}, 422, "csv.text"),
        ({"csv": {"name": "x.csv", "text": "a\n\0"}}, 422, "NUL"),
        ({"csv": {"name": "x.csv", "text": "a\n" + "1\n" * MAX_BODY_BYTES}}, 413, "over 524288 bytes"),
    ],
)
def test_a_csv_over_a_limit_is_one_line(rig: Rig, body: dict[str, Any], status: int, line: str) -> None:
    response = rig.post("/v1/sql", {"question": "x"} | body)
    assert response.status_code == status and line in response.json()["error"], response.text


def test_the_largest_file_is_read_in_good_time(tmp_path: Path) -> None:
    text = "a,b\n" + "12345,x\n" * 60_000
    assert len(imported(tmp_path, text)[1]) == 60_000
