"""Schemas as one line of text, and read from a database.

The text is what a person types after ``--schema`` and what the model reads::

    TABLE: employees ( id (real), name (text), "pay, gross" (real) )

One ``TABLE:`` for each table, then any ``KEY: orders.customer_id = customers.id`` for foreign keys. A name
is quoted with double quotes (``""`` for a quote inside) only where it would be read back differently without.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn

from t2s.errors import SQLError
from t2s.sql.core import Column, ForeignKey, Schema, Table
from t2s.sql.database import schema_of_database

__all__ = [
    "distinct_names",
    "parse_schema",
    "quote_name",
    "render_schema",
    "schema_of_database",
    "sql_names",
    "type_word",
    "with_distinct_names",
]

_CURE = "write TABLE: name ( column (type), ... )"
_TYPE = re.compile(r"\w[\w ]*")
_TYPE_AT_END = re.compile(r"\(\s*(\w[\w ]*?)\s*\)$")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_SPACE = re.compile(r"\s*")
_HEAD = re.compile(r"(TABLE|KEY)\s*:", re.IGNORECASE)
_PLAIN = re.compile(r"[^\W\d]\w*")


def parse_schema(text: str) -> Schema:
    """Read the text form; a missing type is ``text``. Raise :class:`SQLError` with position and cure."""
    tables: list[Table] = []
    keys: list[ForeignKey] = []
    at = _skip(text, 0)
    while at < len(text):
        head = _HEAD.match(text, at)
        if head is None:
            _fail(text, at, "expected TABLE:")
        if head.group(1).upper() == "TABLE":
            table, at = _read_table(text, head.end())
            tables.append(table)
        else:
            key, at = _read_key(text, head.end())
            keys.append(key)
        at = _skip(text, at)
    if not tables:
        raise SQLError(f"the schema is empty: {_CURE}")
    return Schema(tuple(tables), tuple(keys))


def render_schema(schema: Schema, after_type: Callable[[Column], str] = lambda _: "") -> str:
    """The inverse of :func:`parse_schema`, one line a table. A type that is no word is an error.

    ``after_type`` adds text within a column's parentheses, for prompts; :func:`parse_schema` does not read it.
    """
    lines = [_render_table(table, after_type) for table in schema.tables]
    for key in schema.foreign_keys:
        ends = (key.table, key.column), (key.other_table, key.other_column)
        lines.append("KEY: " + " = ".join(f"{_key_name(t)}.{_key_name(c)}" for t, c in ends))
    return "\n".join(lines)


def distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names made unique: a repeated one becomes ``name:1``, ``name:2``, as SQLite names repeated columns.

    WikiSQL has tables whose header repeats a name; SQL cannot say which of the two it means.
    """
    given = tuple(names)
    taken = set(given)
    if len(taken) == len(given):
        return given
    seen: set[str] = set()
    unique = []
    for name in given:
        number, candidate = 0, name
        while candidate in seen or (number and candidate in taken):
            number += 1
            candidate = f"{name}:{number}"
        seen.add(candidate)
        unique.append(candidate)
    return tuple(unique)


def sql_names(table: Table) -> tuple[str, ...]:
    """The name of each column in SQL text: its own, or its distinct one where the header repeats it."""
    return distinct_names(column.name for column in table.columns)


def with_distinct_names(table: Table) -> Table:
    """The table under its SQL names, for prompts: what the model reads is then what it can write."""
    names = sql_names(table)
    if len({*names}) == len({column.name for column in table.columns}):
        return table  # no name occurs twice, so that each is its own SQL name
    return Table(table.name, tuple(replace(c, name=n) for n, c in zip(names, table.columns, strict=True)))


def quote_name(name: str) -> str:
    """``name`` between double quotes, its own doubled: an identifier in SQL and in the schema text."""
    return '"' + name.replace('"', '""') + '"'


def _fail(text: str, at: int, problem: str) -> NoReturn:
    near = text[at : at + 20].split("\n")[0] or "the end"
    raise SQLError(f"schema, character {at + 1} ({near!r}): {problem}; {_CURE}")


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _read_quoted(text: str, at: int) -> tuple[str, int]:
    quoted = _QUOTED.match(text, at)
    if quoted is None:
        _fail(text, at, "a quoted name is not closed")
    return quoted.group(1).replace('""', '"'), quoted.end()


def _read_table(text: str, at: int) -> tuple[Table, int]:
    at = _skip(text, at)
    if text.startswith('"', at):
        name, end = _read_quoted(text, at)
        end = _skip(text, end)
    else:
        end = text.find("(", at)
        end = len(text) if end < 0 else end
        name = text[at:end].strip()
        if not name:
            _fail(text, at, "the table has no name")
    if not text.startswith("(", end):
        _fail(text, end, f"expected ( after the table name {name!r}")
    columns, end = _read_columns(text, end + 1)
    return Table(name, tuple(columns)), end


def _read_columns(text: str, at: int) -> tuple[list[Column], int]:
    columns = []
    while True:
        column, at = _read_column(text, _skip(text, at))
        columns.append(column)
        at = _skip(text, at)
        if text.startswith(")", at):
            return columns, at + 1
        if not text.startswith(",", at):
            _fail(text, at, "expected , or ) after a column")
        at += 1


def _read_column(text: str, at: int) -> tuple[Column, int]:
    """Read one column up to, not including, the comma or parenthesis that ends it."""
    if text.startswith('"', at):
        name, start = _read_quoted(text, at)
        end = _end_of_item(text, start)
        rest = text[start:end].strip()
        kind = _TYPE_AT_END.fullmatch(rest)
        if rest and kind is None:
            _fail(text, start, f"expected a type in parentheses after {name!r}")
        return Column(name, kind.group(1) if kind else "text"), end
    end = _end_of_item(text, at)
    item = text[at:end].strip()
    kind = _TYPE_AT_END.search(item)
    name = item[: kind.start()].strip() if kind else item
    if not name:
        _fail(text, at, "a column has no name")
    return Column(name, kind.group(1) if kind else "text"), end


def _end_of_item(text: str, at: int) -> int:
    """Where the next comma or closing parenthesis outside inner parentheses is."""
    depth = 0
    for position in range(at, len(text)):
        char = text[position]
        if depth == 0 and char in ",)":
            return position
        depth += (char == "(") - (char == ")")
    _fail(text, at, "the list of columns is not closed with )")


def _render_table(table: Table, after_type: Callable[[Column], str]) -> str:
    columns = ", ".join(f"{_column_name(c.name)} ({type_word(c)}{after_type(c)})" for c in table.columns)
    return f"TABLE: {_table_name(table.name)} ( {columns} )"


def type_word(column: Column) -> str:
    """The column's type; a :class:`SQLError` if it is no word, and could be read as something else."""
    if _TYPE.fullmatch(column.type) is None or column.type != column.type.strip():
        raise SQLError(f"column {column.name!r}: the type {column.type!r} is not a word such as text or real")
    return column.type


@functools.lru_cache(maxsize=1 << 16)  # the same names come again and again, and judging one is slow
def _column_name(name: str) -> str:
    """The bare name if it is read back as it is, quoted otherwise; the reader itself is the judge."""
    bare = f"{name} (x) )"
    try:
        column, end = _read_column(bare, _skip(bare, 0))
    except SQLError:
        return quote_name(name)
    faithful = column == Column(name, "x") and end == len(bare) - 1 and name.isprintable()
    return name if faithful else quote_name(name)


def _table_name(name: str) -> str:
    bare = bool(name) and name == name.strip() and name.isprintable() and "(" not in name and name[0] != '"'
    return name if bare else quote_name(name)


def _key_name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote_name(name)


def _read_key(text: str, at: int) -> tuple[ForeignKey, int]:
    names = []
    for separator in (".", "=", ".", ""):
        name, at = _read_key_name(text, _skip(text, at))
        names.append(name)
        at = _skip(text, at) if separator else at
        if not text.startswith(separator, at):
            _fail(text, at, f"expected {separator} in KEY: table.column = other_table.other_column")
        at += len(separator)
    return ForeignKey(*names), at


def _read_key_name(text: str, at: int) -> tuple[str, int]:
    if text.startswith('"', at):
        return _read_quoted(text, at)
    plain = _PLAIN.match(text, at)
    if plain is None:
        _fail(text, at, "expected a name in KEY: table.column = other_table.other_column")
    return plain.group(), plain.end()
