"""A user's own data: ``train.jsonl``, ``val.jsonl`` and ``test.jsonl`` in one directory, read strictly.

Each line is ``{"question": ..., "sql": ..., "schema": "TABLE: t ( id (real), name (text) )"}``, or with
``"database": "shop.db"`` (SQLite, relative to the file) for ``schema``; then execution can be measured.
``"table"`` narrows the schema to one table, ``"id"`` names the example. Every fault of all three files is
collected before one error is raised; nothing is skipped.

Not covered: whether a gold query runs and finds something; ``t2s data check`` tries that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from t2s.data.core import Example, Splits
from t2s.data.lines import LineFault, json_type, objects, place
from t2s.errors import DataError, SQLError, suggest
from t2s.sql.core import LogicalForm, Schema
from t2s.sql.parse import NotWikiSQLForm, parse
from t2s.sql.schema import parse_schema, render_schema, schema_of_database
from t2s.sql.syntax import read_query

SPLITS = ("train", "val", "test")
REQUIRED = ("question", "sql")
FIELDS = (*REQUIRED, "schema", "database", "table", "id")
MAX_SHOWN = 20


class JsonlPipeline:
    """Questions, SQL and schemas or databases of a user's own.

    Args:
        path: the directory with ``train.jsonl``, ``val.jsonl`` and ``test.jsonl``.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def prepare(self) -> Splits:
        """Read all three splits.

        Raises:
            DataError: every fault with file and line (the first 20), also questions that splits share.
        """
        if not self.path.is_dir():
            raise DataError(f"data.path={self.path}: no such directory; expected one with {_names()}")
        reader = _Reader(self.path)
        train, val, test = (reader.read(split) for split in SPLITS)
        if reader.faults:
            raise DataError(_summary(self.path, reader.faults))
        return train, val, test


def _names() -> str:
    return ", ".join(f"{split}.jsonl" for split in SPLITS)


def _summary(path: Path, faults: list[str]) -> str:
    more = f"\n... and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
    noun = "fault" if len(faults) == 1 else "faults"
    return f"{len(faults)} {noun} in {path}:\n" + "\n".join(faults[:MAX_SHOWN]) + more


@dataclass
class _Reader:
    """Reads the splits one after the other, remembering what it has seen."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    seen: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)

    def read(self, split: str) -> list[Example]:
        """The examples of one split; faults are kept in ``faults``."""
        path = self.folder / f"{split}.jsonl"
        if split == "val" and not path.exists() and (self.folder / "dev.jsonl").exists():
            self.faults.append(f"{path}: no such file; rename dev.jsonl to val.jsonl")
            return []
        examples: dict[str, Example] = {}
        for number, record in objects(path, lambda n, fault: self.faults.append(f"{place(path, n)}: {fault}")):
            try:
                example = self.example(record, f"{split}-{number}")
                if example.id in examples:
                    raise LineFault(f"id {example.id!r} occurs twice; ids must differ")
                self.check_leak(example, split, place(path, number))
                examples[example.id] = example
            except (LineFault, SQLError, DataError) as fault:
                self.faults.append(f"{place(path, number)}: {fault}")
        return list(examples.values())

    def check_leak(self, example: Example, split: str, where: str) -> None:
        """Refuse a question over a schema that another split holds too."""
        key = (" ".join(example.question.casefold().split()), render_schema(example.schema))
        first_split, first = self.seen.setdefault(key, (split, where))
        if first_split != split:
            raise LineFault(f"the same question over the same schema as {first}; keep it in one split")

    def example(self, record: dict[str, Any], fallback_id: str) -> Example:
        """One line's example, or a fault."""
        _check_fields(record)
        schema, source = self.schema_of(record)
        sql = record["sql"].strip()
        _check_sql(sql, schema)
        form = parse_form(sql, schema)
        return Example(record.get("id", fallback_id), record["question"].strip(), schema, sql, form, source)

    def schema_of(self, record: dict[str, Any]) -> tuple[Schema, Path | None]:
        """The schema of a line, and the database if it names one."""
        if "schema" in record:
            return _narrowed(self.shared(record["schema"], None), record.get("table")), None
        database = (self.folder / record["database"]).resolve()
        if not database.is_file():
            near = suggest(database.name, (path.name for path in self.folder.glob("*.db")))
            raise LineFault(f"database {record['database']!r} is not in {self.folder}{near}")
        return _narrowed(self.shared(str(database), database), record.get("table")), database

    def shared(self, key: str, database: Path | None) -> Schema:
        """The schema of a text or a database, read once."""
        if key not in self.schemas:
            self.schemas[key] = schema_of_database(database) if database else parse_schema(key)
        return self.schemas[key]


def _check_fields(record: dict[str, Any]) -> None:
    for name, value in record.items():
        if name not in FIELDS:
            raise LineFault(f"unknown field {name!r}{suggest(name, FIELDS)}; known: {', '.join(FIELDS)}")
        if not isinstance(value, str):
            raise LineFault(f"field {name!r}: expected a string, found {json_type(value)}")
        if not value.strip():
            raise LineFault(f"field {name!r} is empty")
    for name in REQUIRED:
        if name not in record:
            raise LineFault(f"field {name!r} is missing")
    if ("schema" in record) == ("database" in record):
        found = "both" if "schema" in record else "neither"
        raise LineFault(f"expected either a field 'schema' or a field 'database', found {found}")


def _narrowed(schema: Schema, table: str | None) -> Schema:
    if table is None:
        return schema
    for known in schema.tables:
        if known.name.lower() == table.lower():
            return Schema((known,))
    names = [known.name for known in schema.tables]
    raise LineFault(f"unknown table {table!r}{suggest(table, names)}; known: {', '.join(names)}")


def _check_sql(sql: str, schema: Schema) -> None:
    """One query that SQLite's grammar takes, over tables of the schema."""
    try:
        tree = read_query(sql, [column.name for table in schema.tables for column in table.columns])
    except SQLError as error:
        raise LineFault(f"field 'sql': {error}") from error
    known = [table.name for table in schema.tables]
    defined = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)} | {name.casefold() for name in known}
    for table in tree.find_all(exp.Table):
        if table.name.casefold() not in defined:
            near = suggest(table.name, known)
            raise LineFault(f"field 'sql': unknown table {table.name!r}{near}; known: {', '.join(known)}")


def parse_form(sql: str, schema: Schema) -> LogicalForm | None:
    """The logical form of ``sql`` if it has one, else None; a :class:`SQLError` for unknown columns."""
    if len(schema.tables) != 1:
        return None
    try:
        return parse(sql, schema.table)
    except NotWikiSQLForm:
        return None
