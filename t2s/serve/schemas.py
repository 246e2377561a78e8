"""What goes over the wire. Limits are here, so that nothing larger is even parsed further."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_QUESTION_CHARS = 2_000
MAX_SCHEMA_CHARS = 50_000
MAX_NAME_CHARS = 200
MAX_BODY_BYTES = 512 * 1024
"""The longest legal request, every character escaped as ``\\uXXXX``, is about 310 kB."""

Cell = str | int | float | None
Verdict = Literal["ok", "invalid_sql", "refused", "timeout", "execution_error", "not_executed"]


class Ask(BaseModel):
    """A question over a schema in the text form, or over an attached database."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    schema_text: str | None = Field(default=None, alias="schema", min_length=1, max_length=MAX_SCHEMA_CHARS)
    """``TABLE: name ( column (type), ... )``; nothing is executed."""
    database: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
    """The name of an attached database."""
    table: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
    """One table of it; without, its only table or all of them."""
    execute: bool = True
    """Run the SQL on the database."""

    @model_validator(mode="after")
    def _one_source(self) -> Ask:
        if (self.schema_text is None) == (self.database is None):
            raise ValueError("give either a schema or a database, not both and not neither")
        if self.table is not None and self.database is None:
            raise ValueError("table goes with database")
        if not self.question.strip():
            raise ValueError("the question is empty")
        return self


class AdapterInfo(BaseModel):
    """Which adapter answered: its version in the registry (or directory, or ``none``) and its MLflow run."""

    version: str
    run_id: str | None


class Timing(BaseModel):
    """Milliseconds: waiting for and writing the SQL, running it, and everything."""

    generate: float
    execute: float
    total: float


class Answer(BaseModel):
    """The SQL, what became of it, and its rows if it ran."""

    sql: str
    verdict: Verdict
    detail: str = ""
    """One line why, for a verdict other than ``ok``."""
    columns: list[str] = []
    rows: list[list[Cell]] = []
    truncated: bool = False
    """There are more rows than ``serve.max_rows``."""
    adapter: AdapterInfo
    base: str
    timing_ms: Timing


class ColumnInfo(BaseModel):
    """A column's name and type."""

    name: str
    type: str


class TableInfo(BaseModel):
    """A table and its columns."""

    name: str
    columns: list[ColumnInfo]


class DatabaseInfo(BaseModel):
    """An attached database and its tables."""

    name: str
    tables: list[TableInfo]


class Databases(BaseModel):
    """What may be asked about."""

    databases: list[DatabaseInfo]


class Health(BaseModel):
    """The endpoint is up, and with what."""

    status: Literal["ok"] = "ok"
    adapter: AdapterInfo
    base: str


class Failure(BaseModel):
    """The body of every 4xx and 5xx answer."""

    error: str
    """One line."""
