"""Read the schema of a database file: tables, columns, types and foreign keys. SQLite and DuckDB.

Opens files read-only, makes none, and reads no rows. Which of the two it is, the file's own first bytes say,
never its name. Not covered: tables of DuckDB outside its schema ``main``; a hostile file (the engine that
reads it runs in this process: a schema is read of files that their owner gave us).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from t2s.errors import DataError, suggest
from t2s.sql.core import Column, ForeignKey, Schema, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Engine = Literal["sqlite", "duckdb"]

_NUMERIC = re.compile(r"INT|REAL|FLOA|DOUB|NUM|DEC|MONEY", re.IGNORECASE)
"""Declared types that hold numbers; SQLite itself decides by parts of the type's name (datatype3.html)."""

_DUCKDB_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\)|BIGNUM")
"""DuckDB's own names of its number types; a list of them (``INTEGER[]``) is no number."""

_WAL_VERSION = b"\x02\x02"
"""Bytes 18 and 19 of a SQLite database in write-ahead mode (fileformat2.html)."""


def engine_of(path: Path) -> Engine:
    """Which engine reads the file ``path``, by its header; an empty file is an empty SQLite database.

    Raise :class:`DataError` if there is no such file, it cannot be read, or it is neither.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give a SQLite or DuckDB file")
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such database file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not head or head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    raise DataError(f"{path}: is not a database: it begins neither as a SQLite nor as a DuckDB file does")


def schema_of_database(path: Path, table: str | None = None) -> Schema:
    """The schema of a SQLite or DuckDB file, or of its one ``table`` (any case); views are tables.

    Numeric types become ``real``, all others ``text``. Left out are views that name what is not there, and keys to
    tables outside the result.
    Raise :class:`DataError` for a missing or damaged file, no tables, or an unknown ``table``.
    """
    read = _read_sqlite if engine_of(path) == "sqlite" else _read_duckdb
    tables, keys = read(path)
    if not tables:
        raise DataError(f"{path}: the database has no tables")
    if table is not None:
        tables = [_find(table, tables, path)]
    return Schema(tuple(tables), _inside(keys, tables))


def read_only_uri(path: Path) -> str:
    """The URI that opens the SQLite file ``path`` without ever writing or making files beside it."""
    uri = path.resolve().as_uri() + "?mode=ro"
    with path.open("rb") as file:
        write_ahead = file.read(20)[18:20] == _WAL_VERSION
    if write_ahead and not path.with_name(path.name + "-wal").exists():
        # Even a reader makes the shared-memory file of a write-ahead database; nobody has it open, so
        # that its content cannot change under us.
        return uri + "&immutable=1"
    return uri


def duckdb_path(path: Path) -> str:
    """The path by which DuckDB opens ``path`` read-only; :class:`DataError` for one that it misreads."""
    resolved = str(path.resolve())
    if "?" in resolved:
        # It takes the rest for parameters, and looks for the log of another file.
        raise DataError(f"{path}: DuckDB cannot read a path with a question mark: rename it")
    return resolved


def _find(wanted: str, tables: Sequence[Table], path: Path) -> Table:
    for table in tables:
        if table.name.casefold() == wanted.casefold():
            return table
    names = [table.name for table in tables]
    raise DataError(f"{path}: no table {wanted!r}{suggest(wanted, names)}; it has: {', '.join(names[:20])}")


def _inside(keys: Sequence[ForeignKey], tables: Sequence[Table]) -> tuple[ForeignKey, ...]:
    """The keys between tables of the schema, the names spelled as the schema spells them."""
    spelled = {table.name.casefold(): table.name for table in tables}
    return tuple(
        ForeignKey(key.table, key.column, spelled[key.other_table.casefold()], key.other_column)
        for key in keys
        if key.table.casefold() in spelled and key.other_table.casefold() in spelled
    )


# SQLite


def _read_sqlite(path: Path) -> tuple[list[Table], list[ForeignKey]]:
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            names = [name for (name,) in rows if not name.startswith("sqlite_")]
            tables = [table for name in names if (table := _sqlite_table(connection, name)) is not None]
            return tables, [key for table in tables for key in _sqlite_keys(connection, table.name)]
    except sqlite3.Error as error:
        raise DataError(f"{path}: cannot be read as a SQLite database ({error})") from error


def _sqlite_table(connection: sqlite3.Connection, name: str) -> Table | None:
    """A table or view; None for a view that no query can read, as it names what is not there."""
    try:
        rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        rows = []
    columns = tuple(Column(n, "real" if _NUMERIC.search(t or "") else "text") for n, t in rows)
    return Table(name, columns) if columns else None


def _sqlite_keys(connection: sqlite3.Connection, name: str) -> list[ForeignKey]:
    query = 'SELECT "from", "table", "to", seq FROM pragma_foreign_key_list(?) ORDER BY id, seq'
    keys = []
    for column, other, other_column, seq in connection.execute(query, (name,)).fetchall():
        target = other_column or _sqlite_primary_key(connection, other, seq)
        if target is not None:
            keys.append(ForeignKey(name, column, other, target))
    return keys


def _sqlite_primary_key(connection: sqlite3.Connection, table: str, seq: int) -> str | None:
    """A key that names no column refers to the primary key, part by part."""
    query = "SELECT name FROM pragma_table_info(?) WHERE pk = ?"
    row = connection.execute(query, (table, seq + 1)).fetchone()
    return row[0] if row else None


# DuckDB


def _read_duckdb(path: Path) -> tuple[list[Table], list[ForeignKey]]:
    # A second of import, which only those pay who have such a file.
    import duckdb

    from t2s.sql.sandbox.inside.duckdb_settings import SETTINGS

    locked: dict[str, str | bool | int | float | list[str]] = {**SETTINGS, "lock_configuration": "true"}
    try:
        with duckdb.connect(duckdb_path(path), read_only=True, config=locked) as connection:
            return _duckdb_tables(connection), _duckdb_keys(connection)
    except duckdb.Error as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: cannot be read as a DuckDB database ({reason})") from error


def _duckdb_tables(connection: DuckDBPyConnection) -> list[Table]:
    query = """SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()
        ORDER BY table_oid, column_index"""
    columns: dict[str, list[Column]] = {}
    for table, name, kind in connection.execute(query).fetchall():
        is_number = _DUCKDB_NUMERIC.fullmatch(kind)
        columns.setdefault(table, []).append(Column(name, "real" if is_number else "text"))
    return [Table(name, tuple(listed)) for name, listed in columns.items()]


def _duckdb_keys(connection: DuckDBPyConnection) -> list[ForeignKey]:
    query = """SELECT table_name, constraint_column_names, referenced_table, referenced_column_names
        FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND schema_name = 'main'
        AND database_name = current_database() ORDER BY table_oid, constraint_index"""
    rows: list[tuple[str, list[str], str, list[str]]] = connection.execute(query).fetchall()
    return [
        ForeignKey(table, column, other, other_column)
        for table, columns, other, other_columns in rows
        for column, other_column in zip(columns, other_columns, strict=True)
    ]
