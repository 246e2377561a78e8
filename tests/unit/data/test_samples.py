"""Sample values: which ones, from which files, and that reading them is safe and repeatable."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.data.core import TableRef
from t2s.data.samples import MAX_CELL_CHARS, SAMPLE_ROWS, has_samples, with_samples
from t2s.sql.core import Column, Schema, Table, Value
from t2s.sql.schema import schema_of_database

SCHEMA = Schema((Table("table", (Column("Name"), Column("Score", "real"))),))


def official(folder: Path, rows: list[tuple[object, object]], name: str = "dev.db") -> TableRef:
    path = folder / name
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE "table_1_2_3" (col0, col1)')
        connection.executemany('INSERT INTO "table_1_2_3" VALUES (?, ?)', rows)
    return TableRef(path, "1-2-3")


def samples(schema: Schema) -> list[tuple[Value, ...]]:
    return [column.samples for table in schema.tables for column in table.columns]


def test_the_first_distinct_values_that_say_something_are_shown(tmp_path: Path) -> None:
    rows = [(None, 1.0), ("", float("nan")), ("  ", 1), ("b", b"\0"), ("a", 2.5), ("b", float("inf")), ("c", 7)]
    filled = with_samples(SCHEMA, official(tmp_path, rows), 2)
    assert samples(filled) == [("b", "a"), (1, 2.5)]
    assert filled == SCHEMA and has_samples(filled) and not has_samples(SCHEMA)


def test_no_rows_and_no_wish_give_none(tmp_path: Path) -> None:
    source = official(tmp_path, [("a", 1)])
    assert with_samples(SCHEMA, None, 3) is SCHEMA
    assert with_samples(SCHEMA, source, 0) is SCHEMA
    assert samples(with_samples(SCHEMA, official(tmp_path, [], "empty.db"), 3)) == [(), ()]


def test_only_the_first_rows_and_the_beginning_of_a_cell_are_read(tmp_path: Path) -> None:
    rows: list[tuple[object, object]] = [("x" * 10_000, 1)] + [(None, 1)] * (SAMPLE_ROWS - 1) + [("late", 9)]
    filled = with_samples(SCHEMA, official(tmp_path, rows), 3)
    assert samples(filled) == [("x" * MAX_CELL_CHARS,), (1,)]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    source = official(tmp_path, [("a", 1)])
    assert samples(with_samples(SCHEMA, source, 3))[0] == ("a",)
    source.database.unlink()
    official(tmp_path, [(f"b{n}", 1) for n in range(500)])
    assert samples(with_samples(SCHEMA, source, 3))[0] == ("b0", "b1", "b2")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE "my customers" (id INTEGER, "Home ""town"" x" TEXT, "order" TEXT);
            INSERT INTO "my customers" VALUES (1, 'Oslo', 'x'), (2, 'Bern', 'x'), (2, 'Oslo', 'y');
            CREATE VIEW endless AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
                SELECT max(n) AS n FROM c;
            CREATE VIEW huge AS SELECT hex(zeroblob(1000000000)) AS h;
            """
        )
    return path


def test_a_users_file_is_read_in_the_sandbox_and_stays_as_it_was(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = hashlib.sha256(shop.read_bytes()).hexdigest()
    filled = with_samples(schema_of_database(shop), shop, 2)
    assert samples(filled)[:3] == [(1, 2), ("Oslo", "Bern"), ("x", "y")]
    assert samples(filled)[3:] == [(), ()], "views that run for ever or fill the memory give no values"
    assert {"'endless'" in record.getMessage() for record in caplog.records} == {True, False}
    assert hashlib.sha256(shop.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in shop.parent.iterdir()) == ["shop.db"]


def test_only_the_tables_of_the_schema_are_read(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert samples(with_samples(schema_of_database(shop, "my customers"), shop, 1)) == [(1,), ("Oslo",), ("x",)]
    assert not caplog.records


@pytest.mark.parametrize("damage", ["absent", "garbage", "no table"])
def test_a_file_that_cannot_be_read_gives_no_values_and_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.db"
    if damage == "garbage":
        path.write_bytes(b"garbage " * 100)
    if damage == "no table":
        sqlite3.connect(path).close()
    for source in (path, TableRef(path, "9-9")):
        caplog.clear()
        assert not has_samples(with_samples(SCHEMA, source, 2))
        assert "x.db" in caplog.text and "no sample values" in caplog.text


def test_a_duckdb_file_gives_values_too(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "shop.duckdb"
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("CREATE TABLE towns (id INTEGER, name VARCHAR)")
        connection.execute("INSERT INTO towns VALUES (1, 'Oslo'), (2, 'Bern')")
    assert samples(with_samples(schema_of_database(path), path, 1)) == [(1,), ("Oslo",)]
