"""Sample values of a table's columns, for prompts that show some.

The rule: the first distinct values of a column that are neither NULL nor blank, among the first :data:`SAMPLE_ROWS`
rows of its table. Rows come from a database of the official layout (whose text is in lower case), or from a user's
SQLite or DuckDB file; a schema without rows keeps its columns bare.

A user's file is read through the sandbox, because its views are programs; the official layout, thousands of small
tables and no views, is read directly and read-only. Not covered: choosing values that the question is about.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from t2s.data.core import TableRef
from t2s.errors import DataError, SQLError
from t2s.sql.core import Schema, Table, Value
from t2s.sql.database import read_only_uri
from t2s.sql.official import physical_name
from t2s.sql.schema import quote_name

SAMPLE_ROWS = 200
"""Rows looked at, from the beginning: the cost does not grow with the table."""

TIMEOUT_S = 1.0
"""For one table or view of a user's file; a view that takes longer shows no values."""

MAX_CELL_CHARS = 200
"""A longer text is cut when it is read; a prompt shows less of it still."""

Stamp = tuple[int, int]
"""Time and size of a file: a changed one is read again."""

log = logging.getLogger(__name__)


def with_samples(schema: Schema, source: TableRef | Path | None, count: int) -> Schema:
    """``schema`` whose columns carry up to ``count`` values of ``source``; itself if there are none to carry.

    A file that cannot be read gives no values, and a warning: a prompt without them is still a prompt.
    """
    if count == 0 or source is None:
        return schema
    path = source if isinstance(source, Path) else source.database
    try:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if isinstance(source, Path):
            return _of_file(schema, path, count, stamp)
        return replace(schema, tables=(_filled(schema.table, _official(path, source.table_id, count, stamp)),))
    except (OSError, sqlite3.Error, DataError, SQLError) as error:
        log.warning("%s: no sample values for the prompt: %s", path, " ".join(str(error).split()))
        return schema


def has_samples(schema: Schema) -> bool:
    """Whether any column carries a value."""
    return any(column.samples for table in schema.tables for column in table.columns)


@lru_cache(maxsize=256)
def _of_file(schema: Schema, path: Path, count: int, stamp: Stamp) -> Schema:
    """All tables of a user's file."""
    from t2s.sql.sandbox import Limits, Sandbox

    with Sandbox(Limits(max_rows=SAMPLE_ROWS, timeout_s=TIMEOUT_S)) as sandbox:
        tables = tuple(_filled(table, _sandboxed(sandbox, path, table, count)) for table in schema.tables)
    return replace(schema, tables=tables)


def _sandboxed(sandbox: Any, path: Path, table: Table, count: int) -> list[tuple[Value, ...]]:
    columns = ", ".join(quote_name(column.name) for column in table.columns)
    try:
        rows = sandbox.run(path, f"SELECT {columns} FROM {quote_name(table.name)} LIMIT {SAMPLE_ROWS}").rows
    except SQLError as error:
        log.warning("%s: no sample values of %r: %s", path, table.name, " ".join(str(error).split()))
        return []
    return [_chosen((row[at] for row in rows), count) for at in range(len(table.columns))]


@lru_cache(maxsize=1 << 15)
def _official(path: Path, table_id: str, count: int, stamp: Stamp) -> tuple[tuple[Value, ...], ...]:
    """The values of each column of one table in the official layout: ``col0``, ``col1``, ... in the header's order."""
    query = f"SELECT * FROM {quote_name(physical_name(table_id))} LIMIT {SAMPLE_ROWS}"
    cursor = _connection(path, stamp).execute(query)
    rows = cursor.fetchall()
    return tuple(_chosen((row[at] for row in rows), count) for at in range(len(cursor.description)))


@lru_cache(maxsize=4)
def _connection(path: Path, stamp: Stamp) -> sqlite3.Connection:
    """One for all tables: opening a database reads the schema of its 15,000 tables, which takes longest."""
    connection = sqlite3.connect(read_only_uri(path), uri=True, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _filled(table: Table, samples: Sequence[tuple[Value, ...]]) -> Table:
    """``table`` with the samples of its columns; of a table that has other columns, those that there are."""
    columns = [replace(column, samples=found) for column, found in zip(table.columns, samples, strict=False)]
    return Table(table.name, (*columns, *table.columns[len(columns) :]))


def _chosen(cells: Iterable[Any], count: int) -> tuple[Value, ...]:
    chosen: dict[Value, None] = {}
    for cell in cells:
        if (value := _value(cell)) is not None:
            chosen.setdefault(value)
        if len(chosen) == count:
            break
    return tuple(chosen)


def _value(cell: Any) -> Value | None:
    """A cell that says something: text that is not blank, or a finite number."""
    if isinstance(cell, str):
        return cell[:MAX_CELL_CHARS] if cell.strip() else None
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        return None
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15 else cell
