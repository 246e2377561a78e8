"""A CSV file that came with a question, as a private SQLite file for that one question.

The rules: the first line is the header; the separator is the one of ``, ; tab |`` that makes most columns of it; spaces
around a cell are dropped; an empty cell is NULL; a column is a number if every other cell of it is written as one.
``0042``, ``1,50`` and more than 15 digits are not: codes, foreign decimals and what a float would round stay text.
Python's own reader is used: it runs no engine on a stranger's text, and guesses nothing. Not covered: other encodings
than the request's, several tables, dates (they are text).
"""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from t2s.errors import DataError
from t2s.serve.schemas import MAX_NAME_CHARS, MAX_SCHEMA_CHARS, CsvFile
from t2s.sql.schema import quote_name, render_schema, schema_of_database

MAX_COLUMNS = 500
SEPARATORS = ",;\t|"
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,14})")
_NUMBER = re.compile(_WHOLE.pattern + r"(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
Rows = Sequence[Sequence[str | None]]


def import_csv(file: CsvFile, database: Path) -> None:
    """Write the rows of ``file`` to the new SQLite file ``database``, in a table named after it.

    Raises:
        DataError: it is not a table (names the line), or has too many or too long columns.
    """
    names, rows = _parsed(file)
    kinds = [_kind([row[at] for row in rows]) for at in range(len(names))]
    table = _table_name(file.name)
    declared = ", ".join(f"{quote_name(name)} {kind}" for name, kind in zip(names, kinds, strict=True))
    marks = ", ".join("?" * len(names))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE {quote_name(table)} ({declared})")
        # SQLite itself turns text into numbers in a column of numbers.
        connection.executemany(f"INSERT INTO {quote_name(table)} VALUES ({marks})", rows)
    length = len(render_schema(schema_of_database(database)))
    if length > MAX_SCHEMA_CHARS:
        raise DataError(f"csv: the names of its columns make a schema of {length} characters, over {MAX_SCHEMA_CHARS}")


def _parsed(file: CsvFile) -> tuple[tuple[str, ...], Rows]:
    """The columns' names and the rows below them, each as long as the header."""
    # Not splitlines(), which ends a line in the middle of a cell with one of Unicode's separators.
    lines = list(io.StringIO(file.text.removeprefix("\ufeff"), newline=""))
    try:
        separator = _separator(lines)
    except csv.Error as error:
        raise DataError(f"csv, line 1: {error}") from None
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next((row for row in reader if row), [])
        if len(header) > MAX_COLUMNS:
            raise DataError(f"csv: the header has {len(header)} columns; at most {MAX_COLUMNS}")
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(f"csv, line {reader.line_num}: {len(row)} cells under a header of {len(header)}")
            if row:
                rows.append([cell.strip() or None for cell in row])
    except csv.Error as error:
        raise DataError(f"csv, line {reader.line_num}: {error}") from None
    if not any(name.strip() for name in header):
        raise DataError("csv: there is no header; the first line is to name the columns")
    return _names(header), rows


def _separator(lines: Sequence[str]) -> str:
    """The one that makes most columns of the first line that is not empty; a comma if none makes more."""
    first = next((line for line in lines if line.strip()), "")
    return max(SEPARATORS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))


def _names(header: Sequence[str]) -> tuple[str, ...]:
    """Names that SQLite can tell apart, which it does in any case: a repeated one gets a number."""
    names: list[str] = []
    taken = {_plain(cell).casefold() for cell in header}
    seen: set[str] = set()
    for number, cell in enumerate(header, start=1):
        name = wanted = _plain(cell) or f"column {number}"
        if len(name) > MAX_NAME_CHARS:
            raise DataError(f"csv: the name of column {number} is longer than {MAX_NAME_CHARS} characters")
        count = 1
        while name.casefold() in seen or (name != wanted and name.casefold() in taken):
            count += 1
            name = f"{wanted} {count}"
        seen.add(name.casefold())
        names.append(name)
    return tuple(names)


def _plain(cell: str) -> str:
    return " ".join(cell.split())


def _table_name(file_name: str) -> str:
    """The file's name without its ending, as a word; SQLite keeps names with ``sqlite_`` for itself."""
    stem = file_name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    word = re.sub(r"\W+", "_", stem[0] or stem[2]).strip("_")[:60] or "data"
    return f"t_{word}" if word[0].isdigit() or word.casefold().startswith("sqlite_") else word


def _kind(cells: Sequence[str | None]) -> str:
    """The type of a column; one without any cell says nothing, and is text."""
    given = [cell for cell in cells if cell is not None]
    if not given or not all(map(_NUMBER.fullmatch, given)):
        return "TEXT"
    return "INTEGER" if all(map(_WHOLE.fullmatch, given)) else "REAL"
