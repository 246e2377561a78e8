"""Schemas as the model reads them: one line a table, or CREATE TABLE statements.

Sample values are data, never structure: each is one SQL literal of at most :data:`MAX_VALUE_CHARS` characters on the
line of its column, quotes doubled and line breaks and control characters escaped.
"""

from __future__ import annotations

from collections.abc import Callable

from t2s.sql.core import Column, ForeignKey, Schema, Table, Value
from t2s.sql.schema import quote_name, render_schema, type_word

MAX_VALUE_CHARS = 40
"""Longer texts end in ``…``: a prompt shows what values look like, it does not hold them."""


def compact(schema: Schema, num_values: int) -> str:
    """``TABLE: employees ( id (real), name (text) )``, with values ``name (text: 'Ada', 'Bob')``."""
    return render_schema(schema, lambda column: compact_values(column, num_values))


def compact_values(column: Column, num_values: int) -> str:
    """What stands after the type: ``: 'Ada', 'Bob'``, or nothing."""
    shown = values(column, num_values)
    return f": {shown}" if shown else ""


def ddl(schema: Schema, num_values: int) -> str:
    """CREATE TABLE statements with quoted names, types and foreign keys; values stand in a comment."""
    return "\n".join(_create(table, schema.foreign_keys, num_values) for table in schema.tables)


def values(column: Column, num_values: int) -> str:
    """``'Ada', 'Bob'``: the first samples of a column as SQL literals."""
    return ", ".join(literal(value) for value in column.samples[:num_values])


def literal(value: Value) -> str:
    """One value as a SQL literal on one line."""
    if not isinstance(value, str):
        return repr(value)
    cut = value if len(value) <= MAX_VALUE_CHARS else value[: MAX_VALUE_CHARS - 1] + "…"
    return "'" + escaped(cut).replace("'", "''") + "'"


def escaped(text: str) -> str:
    """``text`` with everything that does not print as itself written as an escape (``\\n``, ``\\x1b``)."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _create(table: Table, keys: tuple[ForeignKey, ...], num_values: int) -> str:
    lines = [
        (f"{_name(column.name)} {type_word(column).upper()}", values(column, num_values)) for column in table.columns
    ]
    lines += [(_foreign(key), "") for key in keys if key.table == table.name]
    body = [
        f"  {text}{',' if number < len(lines) else ''}{f' -- {shown}' if shown else ''}"
        for number, (text, shown) in enumerate(lines, 1)
    ]
    return "\n".join([f"CREATE TABLE {_name(table.name)} (", *body, ");"])


def _foreign(key: ForeignKey) -> str:
    there = f"{_name(key.other_table)} ({_name(key.other_column)})"
    return f"FOREIGN KEY ({_name(key.column)}) REFERENCES {there}"


def _name(name: str) -> str:
    """Quoted, and on one line: a name with a line break could pretend to be another statement."""
    return escaped(quote_name(name))


STYLES: dict[str, Callable[[Schema, int], str]] = {"compact": compact, "ddl": ddl}
