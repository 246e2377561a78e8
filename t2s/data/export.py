"""Turn tables of the official layout into a SQLite database as a user would have it, for serving.

Tables and columns carry their real names and rows their original case, unlike in the official ``.db``.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from t2s.data.layout import TableName, data_folder
from t2s.data.lines import objects, raising
from t2s.errors import DataError, SetupError, suggest


def export_sqlite(
    root: Path,
    split: str,
    to: Path,
    table_ids: Sequence[str] | None = None,
    table_name: TableName = lambda record: str(record.get("name") or record["id"]),
) -> list[str]:
    """Write the tables of ``split`` that have rows, or only ``table_ids`` in their order, to the file ``to``.

    Names are made unique by a number: ``films``, ``films_2``. The file is written aside and renamed, and
    replaces one that was there.

    Returns:
        The tables' names.

    Raises:
        DataError: an unknown table id, or a malformed file.
        SetupError: ``to`` cannot be written.
    """
    records = _records(root, split, table_ids)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as aside:
            names = _write(records, Path(aside) / "tables.db", table_name)
            (Path(aside) / "tables.db").replace(to)
    except OSError as error:
        raise SetupError(f"cannot write the database {to}: {error}") from error
    return names


def unique_names(names: Sequence[str], fallback: str) -> list[str]:
    """``names`` made fit for SQLite: none empty, reserved or alike but for case (``City``, ``city_2``)."""
    unique: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        base = name.strip().replace("\x00", "") or f"{fallback}_{number}"
        base = f"t_{base}" if base.lower().startswith("sqlite_") else base
        free, suffix = base, 1
        while free.lower() in unique:
            suffix += 1
            free = f"{base}_{suffix}"
        unique[free.lower()] = free
    return list(unique.values())


def _records(root: Path, split: str, table_ids: Sequence[str] | None) -> list[dict[str, Any]]:
    path = data_folder(root, split) / f"{split}.tables.jsonl"
    found = {record["id"]: record for _, record in objects(path, raising(path)) if record.get("rows")}
    for table_id in table_ids or ():
        if table_id not in found:
            raise DataError(f"{path}: no table {table_id!r} with rows{suggest(table_id, found)}")
    return [found[table_id] for table_id in (table_ids if table_ids is not None else found)]


def _write(records: list[dict[str, Any]], to: Path, table_name: TableName) -> list[str]:
    names = unique_names([table_name(record) for record in records], "table")
    with closing(sqlite3.connect(to)) as connection:
        for name, record in zip(names, records, strict=True):
            columns = unique_names(record["header"], "column")
            declared = ", ".join(
                f"{_quoted(column)} {kind}" for column, kind in zip(columns, record["types"], strict=True)
            )
            connection.execute(f"CREATE TABLE {_quoted(name)} ({declared})")
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {_quoted(name)} VALUES ({places})", record["rows"])
        connection.commit()
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
