"""Read WikiSQL's official layout: ``<split>.jsonl``, ``<split>.tables.jsonl`` and ``<split>.db``.

Only the files of the split that is read need to exist. Without a ``.db``, or without rows in a table, the
examples have no ``source``: their logical form can be scored, their execution cannot. Not covered: whether the
rows of ``.tables.jsonl`` and ``.db`` are the same; whether a query finds something (``t2s data check``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2s.data.core import Example, TableRef
from t2s.data.faults import Faults
from t2s.data.lines import LineFault, json_type, objects, place
from t2s.errors import DataError, SQLError, suggest
from t2s.sql.core import Column, LogicalForm, Schema, Table
from t2s.sql.official import physical_name
from t2s.sql.render import render
from t2s.sql.schema import with_distinct_names

TableName = Callable[[dict[str, Any]], str]
"""Gives the name of a table in the prompt, from its line in ``.tables.jsonl``."""

COLUMN_TYPES = ("text", "real")
_CELL_TYPES = {str, int, float, type(None)}


@dataclass(frozen=True, slots=True)
class LayoutTable:
    """One line of ``.tables.jsonl``: the shared schema, and where the rows are."""

    schema: Schema
    source: TableRef | None


@dataclass(frozen=True, slots=True)
class LayoutTables:
    """The tables of a split by id, and where those stand (``file:line``) that are at fault."""

    good: dict[str, LayoutTable] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


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


def read_split(root: Path, split: str, table_name: TableName, faults: Faults | None = None) -> list[Example]:
    """Read the examples of ``split`` (``train``, ``dev`` or ``test``) in the file's order.

    Args:
        faults: collects what is wrong, for the caller to settle; without it, it is refused here.

    Raises:
        DataError: a missing or malformed file; the message names file and line of the first 20 faults.
    """
    collected = Faults() if faults is None else faults
    folder = data_folder(root, split)
    tables = read_tables(folder, split, table_name, collected)
    path = folder / f"{split}.jsonl"
    examples: list[Example] = []
    for number, record in objects(path, collected.report(path)):
        try:
            examples.append(_example(record, f"{split}-{number - 1}", split, tables))
        except LineFault as fault:
            collected.add(path, number, str(fault))
    if faults is None:
        collected.settle(folder)
    return examples


def _example(record: dict[str, Any], name: str, split: str, tables: LayoutTables) -> Example:
    table_id = _text(record, "table_id")
    table = tables.good.get(table_id)
    if table is None and table_id in tables.bad:
        raise LineFault(f"its table {table_id!r} is at fault: {tables.bad[table_id]}")
    if table is None:
        raise LineFault(f"table_id {table_id!r} is not in {split}.tables.jsonl{suggest(table_id, tables.good)}")
    question = _text(record, "question")
    if not question.strip():
        raise LineFault("field 'question' is empty")
    try:
        form = _logical_form(record)
        sql = render(form, table.schema.table)
    except SQLError as error:
        raise LineFault(f"field 'sql': {error}") from error
    return Example(name, question, table.schema, sql, form, table.source)


def _logical_form(record: dict[str, Any]) -> LogicalForm:
    """The form of a line; its indices are whole numbers, which :meth:`LogicalForm.from_dict` would round to."""
    raw = record.get("sql")
    form = LogicalForm.from_dict(raw)
    indices = [raw["sel"], raw["agg"], *(index for cond in raw["conds"] for index in cond[:2])]  # type: ignore[index]
    if set(map(type, indices)) - {int}:
        wrong = next(index for index in indices if type(index) is not int)
        raise SQLError(f"sel, agg and the first two parts of a condition are whole numbers, not {json_type(wrong)}")
    return form


def read_tables(folder: Path, split: str, table_name: TableName, faults: Faults) -> LayoutTables:
    """The tables of ``split``; what is wrong with them goes to ``faults``."""
    path = folder / f"{split}.tables.jsonl"
    database = (folder / f"{split}.db").resolve()
    stored = stored_tables(database)
    tables = LayoutTables()
    for number, record in objects(path, faults.report(path)):
        try:
            table_id = _text(record, "id")
            if table_id in tables.good or table_id in tables.bad:
                raise LineFault(f"table id {table_id!r} occurs twice; ids must differ")
            tables.bad[table_id] = place(path, number)
            tables.good[table_id] = _table(record, table_id, table_name, database, stored)
            del tables.bad[table_id]
        except LineFault as fault:
            faults.add(path, number, str(fault))
    return tables


def _table(
    record: dict[str, Any], table_id: str, table_name: TableName, database: Path, stored: set[str] | None
) -> LayoutTable:
    schema = Schema((with_distinct_names(Table(table_name(record), _columns(record))),))
    if not _rows(record) or stored is None:
        return LayoutTable(schema, None)
    if physical_name(table_id) not in stored:
        raise LineFault(f"{database.name} has no table {physical_name(table_id)} with these rows; unpack it again")
    return LayoutTable(schema, TableRef(database, table_id))


def stored_tables(database: Path) -> set[str] | None:
    """The names of the tables in an official ``.db``; None if there is no such file."""
    if not database.exists():
        return None
    try:
        if not database.stat().st_size:
            raise DataError(f"{database}: is empty; unpack the archive again")
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite3.Error, OSError) as error:
        raise DataError(f"{database}: not a SQLite database ({error}); unpack the archive again") from error


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        found = f"found {json_type(value)}" if name in record else f"it is missing{suggest(name, record)}"
        raise LineFault(f"field {name!r}: expected a string, {found}")
    return value


def _columns(record: dict[str, Any]) -> tuple[Column, ...]:
    header, types = record.get("header"), record.get("types")
    if not isinstance(header, list) or not header or not all(isinstance(name, str) for name in header):
        raise LineFault("field 'header': expected a list of column names")
    if not isinstance(types, list) or len(types) != len(header):
        found = f"{len(types)} types" if isinstance(types, list) else json_type(types)
        raise LineFault(f"field 'types': expected one type for each of the {len(header)} columns, found {found}")
    for kind in types:
        if kind not in COLUMN_TYPES:
            raise LineFault(f"field 'types': {kind!r} is not one of {', '.join(COLUMN_TYPES)}")
    return tuple(map(Column, header, types))


def _rows(record: dict[str, Any]) -> list[list[Any]]:
    rows, width = record.get("rows", []), len(record["header"])
    if not isinstance(rows, list):
        raise LineFault(f"field 'rows': expected a list of rows, found {json_type(rows)}")
    for at, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != width:
            found = f"{len(row)} cells" if isinstance(row, list) else json_type(row)
            raise LineFault(f"row {at}: expected {width} cells, one a column, found {found}")
        if set(map(type, row)) - _CELL_TYPES:
            wrong = next(cell for cell in row if type(cell) not in _CELL_TYPES)
            raise LineFault(f"row {at}: a cell is a string, a number or null, not {json_type(wrong)}")
    return rows
