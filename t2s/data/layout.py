"""Read WikiSQL's official layout: ``<split>.jsonl``, ``<split>.tables.jsonl`` and ``<split>.db``.

Only the files of the split that is read need to exist. Without a ``.db``, or without rows in a table, the
examples have no ``source``: their logical form can be scored, their execution cannot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.core import Example, TableRef
from t2s.data.lines import Fail, json_type, objects, raising
from t2s.errors import DataError, SQLError, suggest
from t2s.sql.core import Column, LogicalForm, Schema, Table
from t2s.sql.official import physical_name
from t2s.sql.render import render
from t2s.sql.schema import with_distinct_names

TableName = Callable[[dict[str, Any]], str]
"""Gives the name of a table in the prompt, from its line in ``.tables.jsonl``."""

COLUMN_TYPES = ("text", "real")


@dataclass(frozen=True, slots=True)
class LayoutTable:
    """One line of ``.tables.jsonl``: the shared schema, and where the rows are."""

    schema: Schema
    source: TableRef | None


def data_folder(root: Path, split: str) -> Path:
    """``root`` or ``root/data``, whichever holds ``<split>.jsonl``; a :class:`DataError` if neither does."""
    for folder in (root / "data", root):
        if (folder / f"{split}.jsonl").is_file():
            return folder
    if not root.exists():
        raise DataError(f"{root}: no such directory; get WikiSQL with `t2s data fetch`, or set data.path")
    raise DataError(
        f"{root}: no {split}.jsonl in it or in its data/; expected WikiSQL's layout "
        f"({split}.jsonl, {split}.tables.jsonl, {split}.db)"
    )


def read_split(root: Path, split: str, table_name: TableName) -> list[Example]:
    """Read the examples of ``split`` (``train``, ``dev`` or ``test``) in the file's order.

    Raises:
        DataError: a missing or malformed file; the message names the file and the line.
    """
    folder = data_folder(root, split)
    tables = read_tables(folder, split, table_name)
    path = folder / f"{split}.jsonl"
    fail = raising(path)
    examples: list[Example] = []
    for number, record in objects(path, fail):
        table = tables.get(_text(record, "table_id", number, fail))
        if table is None:
            near = suggest(record["table_id"], tables)
            fail(number, f"table_id {record['table_id']!r} is not in {split}.tables.jsonl{near}")
        question = _text(record, "question", number, fail)
        try:
            form = LogicalForm.from_dict(record.get("sql"))
            sql = render(form, table.schema.table)
        except SQLError as error:
            fail(number, f"field 'sql': {error}")
        examples.append(Example(f"{split}-{len(examples)}", question, table.schema, sql, form, table.source))
    return examples


def read_tables(folder: Path, split: str, table_name: TableName) -> dict[str, LayoutTable]:
    """The tables of ``split`` by their id."""
    path = folder / f"{split}.tables.jsonl"
    database = (folder / f"{split}.db").resolve()
    stored = stored_tables(database)
    fail = raising(path)
    tables: dict[str, LayoutTable] = {}
    for number, record in objects(path, fail):
        table_id = _text(record, "id", number, fail)
        if table_id in tables:
            fail(number, f"table id {table_id!r} occurs twice; ids must differ")
        schema = Schema((with_distinct_names(Table(table_name(record), _columns(record, number, fail))),))
        has_rows = bool(_rows(record, number, fail)) and physical_name(table_id) in stored
        tables[table_id] = LayoutTable(schema, TableRef(database, table_id) if has_rows else None)
    return tables


def stored_tables(database: Path) -> set[str]:
    """The names of the tables in an official ``.db``; none if there is no such file."""
    if not database.is_file():
        return set()
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise DataError(f"{database}: not a SQLite database ({error}); unpack the archive again") from error


def _text(record: dict[str, Any], field: str, number: int, fail: Fail) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        found = f"found {json_type(value)}" if field in record else f"it is missing{suggest(field, record)}"
        fail(number, f"field {field!r}: expected a string, {found}")
    return value


def _columns(record: dict[str, Any], number: int, fail: Fail) -> tuple[Column, ...]:
    header, types = record.get("header"), record.get("types")
    if not isinstance(header, list) or not header or not all(isinstance(name, str) for name in header):
        fail(number, "field 'header': expected a list of column names")
    if not isinstance(types, list) or len(types) != len(header):
        fail(number, f"field 'types': expected one type for each of the {len(header)} columns")
    for kind in types:
        if kind not in COLUMN_TYPES:
            fail(number, f"field 'types': {kind!r} is not one of {', '.join(COLUMN_TYPES)}")
    return tuple(map(Column, header, types))


def _rows(record: dict[str, Any], number: int, fail: Fail) -> list[list[Any]]:
    rows, width = record.get("rows", []), len(record["header"])
    if not isinstance(rows, list):
        fail(number, f"field 'rows': expected a list of rows, found {json_type(rows)}")
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            found = f"{len(row)} cells" if isinstance(row, list) else json_type(row)
            fail(number, f"row {at + 1}: expected {width} cells, one a column, found {found}")
    return rows
