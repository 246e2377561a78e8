"""What becomes of the SQL that the model wrote: parsed, and run in the sandbox if there is a database."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from t2s.errors import DataError, suggest
from t2s.serve.schemas import Cell, Verdict
from t2s.sql.core import Schema
from t2s.sql.sandbox import InvalidSQL, Refused, Sandbox, SandboxError, TimedOut, check_read_only
from t2s.sql.schema import schema_of_database


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and the rows that go with ``ok``."""

    verdict: Verdict
    detail: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    truncated: bool = False
    elapsed_s: float = 0.0


def run_sql(sandbox: Sandbox, database: Path, sql: str, schema: Schema) -> Outcome:
    """Run ``sql`` on the tables of ``schema`` only; every failure is a verdict, none is an exception."""
    started = time.perf_counter()
    try:
        result = sandbox.run(database, sql, tables=[table.name for table in schema.tables])
    except (SandboxError, DataError) as error:
        return Outcome(_verdict(error), _one_line(error), elapsed_s=time.perf_counter() - started)
    rows = tuple(tuple(_cell(value) for value in row) for row in result.rows)
    return Outcome("ok", "", result.columns, rows, result.truncated, time.perf_counter() - started)


def parse_only(sql: str) -> Outcome:
    """Judge ``sql`` without running it: ``not_executed``, ``refused`` or ``invalid_sql``."""
    try:
        check_read_only(sql)
    except SandboxError as error:
        return Outcome(_verdict(error), _one_line(error))
    return Outcome("not_executed")


def read_schema(name: str, database: Path, table: str | None) -> Schema:
    """The schema of an attached database or of one of its tables.

    Raises:
        DataError: no such table (names the nearest), or the file is not a database any more.
    """
    schema = schema_of_database(database)
    if table is None:
        return schema
    names = [each.name for each in schema.tables]
    if table not in names:
        raise DataError(f"database {name!r} has no table {table!r}{suggest(table, names)}")
    return schema_of_database(database, table)


def _verdict(error: Exception) -> Verdict:
    known: tuple[tuple[type[Exception], Verdict], ...] = (
        (InvalidSQL, "invalid_sql"),
        (Refused, "refused"),
        (TimedOut, "timeout"),
    )
    # The rest is SQLite's own no: an unknown column, a type, no memory; or the file went away.
    return next((verdict for kind, verdict in known if isinstance(error, kind)), "execution_error")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _cell(value: Cell) -> Cell:
    """JSON has no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
