"""One line of a user's JSONL to one example: its fields, its schema or database, its gold SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2s.data.core import Example
from t2s.data.gold import read_gold
from t2s.data.lines import LineFault, json_type
from t2s.errors import DataError, SQLError, suggest
from t2s.sql.core import Schema
from t2s.sql.database import Engine, engine_of
from t2s.sql.schema import parse_schema, render_schema, schema_of_database

REQUIRED = ("question", "sql")
FIELDS = (*REQUIRED, "schema", "database", "table", "tables", "id")


@dataclass(frozen=True, slots=True)
class Known:
    """A whole schema, read once; ``name`` tells it from others, ``database`` is None for a schema string."""

    name: str
    schema: Schema
    dialect: Engine
    database: Path | None


@dataclass(frozen=True, slots=True)
class OwnExample:
    """An example, where it stands, and what it was asked of before ``tables`` narrowed it."""

    example: Example
    path: Path
    line: int
    known: Known


@dataclass
class ExampleReader:
    """Turns records into examples; databases are looked for in ``databases`` and read once."""

    databases: Path
    _known: dict[str, Known | Exception] = field(default_factory=dict)

    def read(self, record: dict[str, Any], path: Path, line: int) -> OwnExample:
        """The example of one line. Raise :class:`LineFault` with the field and the cure."""
        check_fields(record)
        known = self.known(record)
        schema = narrowed(known.schema, [record["table"]] if "table" in record else record.get("tables"))
        sql = record["sql"].strip()
        form = read_gold(sql, schema, known.dialect)
        name = record.get("id", f"{path.stem}-{line}")
        return OwnExample(
            Example(name, record["question"].strip(), schema, sql, form, known.database), path, line, known
        )

    def known(self, record: dict[str, Any]) -> Known:
        """The whole schema that a line names, or the fault of it."""
        text, name = record.get("schema"), record.get("database")
        key = f"schema {text}" if name is None else f"database {name}"
        if key not in self._known:
            try:
                self._known[key] = _from_text(text or "") if name is None else self._from_database(name)
            except (LineFault, SQLError, DataError) as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, Exception):
            raise LineFault(f"field {'schema' if name is None else 'database'!r}: {found}") from found
        return found

    def _from_database(self, name: str) -> Known:
        path = self._inside(name)
        schema = schema_of_database(path)
        # A view may name columns by expressions; the text form must be able to say every name.
        render_schema(schema)
        return Known(name, schema, engine_of(path), path)

    def _inside(self, name: str) -> Path:
        """The file that ``name`` means; one outside the folder is refused: data from others may name any file."""
        try:
            path = (self.databases / name).resolve()
            if not path.is_relative_to(self.databases.resolve()):
                cure = "put it there, or name its folder with data.options.databases"
                raise LineFault(f"{name!r} lies outside {self.databases}; {cure}")
            if not path.exists():
                near = suggest(path.name, (file.name for file in self.databases.iterdir()))
                raise LineFault(f"{name!r} is not in {self.databases}{near}")
        except OSError as error:
            raise LineFault(f"{name[:80]!r} cannot be opened: {error.strerror}") from error
        return path


def check_fields(record: dict[str, Any]) -> None:
    """Raise :class:`LineFault` for an unknown, missing, empty or wrongly typed field."""
    for name, value in record.items():
        if name not in FIELDS:
            raise LineFault(f"unknown field {name!r}{suggest(name, FIELDS)}; known: {', '.join(FIELDS)}")
        if name == "tables":
            _check_tables(value)
        else:
            _check_text(name, value)
    for name in REQUIRED:
        if name not in record:
            raise LineFault(f"field {name!r} is missing")
    if ("schema" in record) == ("database" in record):
        found = "both" if "schema" in record else "neither"
        raise LineFault(f"expected either a field 'schema' or a field 'database', found {found}")
    if "table" in record and "tables" in record:
        raise LineFault("expected either a field 'table' or a field 'tables', found both")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise LineFault(f"field {name!r}: expected a string, found {json_type(value)}")
    if not value.strip():
        raise LineFault(f"field {name!r} is empty")
    if "\0" in value:
        raise LineFault(f"field {name!r} holds a zero character (\\u0000); remove it")


def _check_tables(value: Any) -> None:
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else json_type(value)
        raise LineFault(f"field 'tables': expected a list of table names, found {found}")
    for name in value:
        _check_text("tables", name)


def narrowed(schema: Schema, tables: list[str] | None) -> Schema:
    """``schema`` with only ``tables`` (any case), in the schema's order, and the keys between them."""
    if tables is None:
        return schema
    names = {table.name.casefold(): table.name for table in schema.tables}
    for name in tables:
        if name.casefold() not in names:
            listed = ", ".join(list(names.values())[:20])
            raise LineFault(f"unknown table {name!r}{suggest(name, names.values())}; known: {listed}")
    kept = {names[name.casefold()] for name in tables}
    keys = tuple(key for key in schema.foreign_keys if {key.table, key.other_table} <= kept)
    return Schema(tuple(table for table in schema.tables if table.name in kept), keys)


def _from_text(text: str) -> Known:
    schema = parse_schema(text)
    return Known(render_schema(schema), schema, "sqlite", None)
