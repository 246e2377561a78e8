"""Schemas read from SQLite and DuckDB files."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from t2s.errors import DataError
from t2s.sql.core import Column, ForeignKey, Table
from t2s.sql.database import engine_of
from t2s.sql.schema import schema_of_database

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, "full name" VARCHAR(40), balance DECIMAL(10, 2), born DATE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES Customers, note, price DOUBLE,
                     FOREIGN KEY (note) REFERENCES customers ("full name"));
CREATE VIEW rich AS SELECT * FROM customers WHERE balance > 1000;
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "my shop #1?.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SHOP)
    return path


def test_tables_types_and_keys_are_read(shop: Path) -> None:
    schema = schema_of_database(shop)
    assert [table.name for table in schema.tables] == ["customers", "orders", "rich"]
    assert schema.tables[0] == Table(
        "customers",
        (Column("id", "real"), Column("full name"), Column("balance", "real"), Column("born")),
    )
    assert schema.tables[1].columns[3] == Column("price", "real")
    assert set(schema.foreign_keys) == {
        ForeignKey("orders", "customer", "customers", "id"),
        ForeignKey("orders", "note", "customers", "full name"),
    }


def test_one_table_is_read_in_any_case_and_without_keys_to_others(shop: Path) -> None:
    schema = schema_of_database(shop, "ORDERS")
    assert schema.table.name == "orders"
    assert schema.foreign_keys == ()


def test_an_unknown_table_names_the_nearest(shop: Path) -> None:
    with pytest.raises(DataError, match=r"no table 'order' .did you mean 'orders'"):
        schema_of_database(shop, "order")


def test_a_missing_or_damaged_or_empty_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such database file"):
        schema_of_database(tmp_path / "none.db")
    (tmp_path / "bad.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="is not a database"):
        schema_of_database(tmp_path / "bad.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(DataError, match="has no tables"):
        schema_of_database(tmp_path / "empty.db")


def test_reading_a_write_ahead_database_leaves_no_files_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "wal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a REAL)")
        connection.commit()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    assert schema_of_database(path).table == Table("t", (Column("a", "real"),))
    assert [file.name for file in tmp_path.iterdir()] == ["wal.db"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_view_that_is_broken_does_not_hide_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t (a); CREATE TABLE u (b); CREATE VIEW v AS SELECT b FROM u; DROP TABLE u;"
        )
    assert schema_of_database(path).table == Table("t", (Column("a"),))


DUCK_SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, "full name" VARCHAR UNIQUE, balance DECIMAL(10, 2), born DATE,
    big HUGEINT, tags INTEGER[], since INTERVAL, happy BOOLEAN, mood ENUM('good', 'bad'), share FLOAT, n UTINYINT);
CREATE TABLE orders (id BIGINT, customer INTEGER REFERENCES customers(id), note VARCHAR,
    FOREIGN KEY (note) REFERENCES customers("full name"));
CREATE VIEW rich AS SELECT * FROM customers WHERE balance > 1000;
CREATE SCHEMA side; CREATE TABLE side.hidden (a INTEGER); CREATE MACRO twice(x) AS 2 * x;
"""


@pytest.fixture
def duck_shop(tmp_path: Path) -> Path:
    path = tmp_path / "my shop #1.db"
    with duckdb.connect(path) as connection:
        connection.execute(DUCK_SHOP)
    return path


def test_a_duckdb_file_is_read_as_well(duck_shop: Path) -> None:
    before = (duck_shop.read_bytes(), duck_shop.stat().st_mtime_ns)
    schema = schema_of_database(duck_shop)
    assert {table.name for table in schema.tables} == {"customers", "orders", "rich"}
    numbers = {"id", "balance", "big", "share", "n"}
    for column in next(table for table in schema.tables if table.name == "customers").columns:
        assert column.type == ("real" if column.name in numbers else "text"), column
    assert set(schema.foreign_keys) == {
        ForeignKey("orders", "customer", "customers", "id"),
        ForeignKey("orders", "note", "customers", "full name"),
    }
    assert schema_of_database(duck_shop, "ORDERS").table.name == "orders"
    with pytest.raises(DataError, match="did you mean 'orders'"):
        schema_of_database(duck_shop, "order")
    assert [file.name for file in duck_shop.parent.iterdir()] == [duck_shop.name]
    assert (duck_shop.read_bytes(), duck_shop.stat().st_mtime_ns) == before


def test_a_damaged_or_empty_duckdb_file_is_a_data_error(tmp_path: Path, duck_shop: Path) -> None:
    (tmp_path / "cut.db").write_bytes(duck_shop.read_bytes()[:9000])
    with pytest.raises(DataError, match="cannot be read as a DuckDB database"):
        schema_of_database(tmp_path / "cut.db")
    with duckdb.connect(tmp_path / "none.db"):
        pass
    with pytest.raises(DataError, match="has no tables"):
        schema_of_database(tmp_path / "none.db")
    duck_shop.rename(tmp_path / "a?b.db")
    with pytest.raises(DataError, match="rename it"):
        schema_of_database(tmp_path / "a?b.db")


def test_the_engine_is_told_by_the_header_and_not_by_the_name(tmp_path: Path, shop: Path) -> None:
    with duckdb.connect(tmp_path / "x.sqlite"):
        pass
    assert engine_of(tmp_path / "x.sqlite") == "duckdb"
    assert engine_of(shop) == "sqlite"
    (tmp_path / "short").write_bytes(b"SQ")
    for path, message in (
        (tmp_path, "folder"),
        (tmp_path / "no", "no such"),
        (tmp_path / "short", "is not a database"),
    ):
        with pytest.raises(DataError, match=message):
            engine_of(path)
