"""Read the schema of a SQLite file: tables, columns, types and foreign keys. Never writes, reads no rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from t2s.errors import DataError, suggest
from t2s.sql.core import Column, ForeignKey, Schema, Table

_NUMERIC = re.compile(r"INT|REAL|FLOA|DOUB|NUM|DEC|MONEY", re.IGNORECASE)
"""Declared types that hold numbers; SQLite itself decides by parts of the type's name (datatype3.html)."""

_WAL_VERSION = b"\x02\x02"
"""Bytes 18 and 19 of a database in write-ahead mode (fileformat2.html)."""


def schema_of_database(path: Path, table: str | None = None) -> Schema:
    """The schema of a SQLite file, or of its one ``table`` (any case).

    Numeric types become ``real``, all others ``text``. Keys to tables outside the result are left out.
    Raise :class:`DataError` for a missing or damaged file, no tables, or an unknown ``table``.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such database file")
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            names = _table_names(connection)
            wanted = names if table is None else [_find(table, names, path)]
            tables = tuple(_table(connection, name) for name in wanted)
            keys = [key for name in wanted for key in _foreign_keys(connection, name)]
    except sqlite3.Error as error:
        raise DataError(f"{path}: cannot be read as a SQLite database ({error})") from error
    if not tables:
        raise DataError(f"{path}: the database has no tables")
    return Schema(tables, _inside(keys, tables))


def read_only_uri(path: Path) -> str:
    """The URI that opens ``path`` without ever writing, nor making ``-wal`` and ``-shm`` files beside it."""
    uri = path.resolve().as_uri() + "?mode=ro"
    with path.open("rb") as file:
        write_ahead = file.read(20)[18:20] == _WAL_VERSION
    if write_ahead and not path.with_name(path.name + "-wal").exists():
        # Even a reader makes the shared-memory file of a write-ahead database; nobody has it open, so
        # that its content cannot change under us.
        return uri + "&immutable=1"
    return uri


def _table_names(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return [name for (name,) in rows if not name.startswith("sqlite_")]


def _find(table: str, names: Sequence[str], path: Path) -> str:
    for name in names:
        if name.casefold() == table.casefold():
            return name
    listed = ", ".join(names[:20])
    raise DataError(f"{path}: no table {table!r}{suggest(table, names)}; it has: {listed or 'none'}")


def _table(connection: sqlite3.Connection, name: str) -> Table:
    rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
    return Table(name, tuple(Column(n, "real" if _NUMERIC.search(t or "") else "text") for n, t in rows))


def _foreign_keys(connection: sqlite3.Connection, name: str) -> list[ForeignKey]:
    query = 'SELECT "from", "table", "to", seq FROM pragma_foreign_key_list(?) ORDER BY id, seq'
    keys = []
    for column, other, other_column, seq in connection.execute(query, (name,)).fetchall():
        target = other_column or _primary_key(connection, other, seq)
        if target is not None:
            keys.append(ForeignKey(name, column, other, target))
    return keys


def _primary_key(connection: sqlite3.Connection, table: str, seq: int) -> str | None:
    """A key that names no column refers to the primary key, part by part."""
    query = "SELECT name FROM pragma_table_info(?) WHERE pk = ?"
    row = connection.execute(query, (table, seq + 1)).fetchone()
    return row[0] if row else None


def _inside(keys: Sequence[ForeignKey], tables: Sequence[Table]) -> tuple[ForeignKey, ...]:
    """The keys between tables of the schema, the other table's name spelled as the schema spells it."""
    spelled = {table.name.casefold(): table.name for table in tables}
    return tuple(
        ForeignKey(key.table, key.column, spelled[key.other_table.casefold()], key.other_column)
        for key in keys
        if key.other_table.casefold() in spelled
    )
