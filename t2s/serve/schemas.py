"""What goes over the wire. Limits are here, so that nothing larger is even parsed further."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_QUESTION_CHARS = 2_000
MAX_SCHEMA_CHARS = 50_000
MAX_NAME_CHARS = 200
MAX_BODY_BYTES = 512 * 1024
"""The longest question over a schema, every character escaped as ``\\uXXXX``, is about 310 kB; a CSV may fill it."""

Cell = str | bool | int | float | None
Verdict = Literal["ok", "invalid_sql", "refused", "timeout", "execution_error", "not_executed"]
Regime = Literal["configured", "unconstrained", "grammar", "guided"]


def _encodable(text: str) -> str:
    """JSON can spell half a character, which no tokenizer, database or answer can take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a character that is no text (a lone surrogate)") from None
    if "\0" in text:
        raise ValueError("holds a character that is no text (NUL)")
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Name = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS)]


class CsvFile(BaseModel):
    """A table that comes with its question, and is forgotten after it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    """The file's name, of which the table's is made."""
    text: Text = Field(min_length=1, max_length=MAX_BODY_BYTES)
    """All of it, the first line naming the columns."""


class Ask(BaseModel):
    """A question over a schema in the text form, over an attached database, or over a CSV file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: Text = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    schema_text: Text | None = Field(default=None, alias="schema", min_length=1, max_length=MAX_SCHEMA_CHARS)
    """``TABLE: name ( column (type), ... )``; nothing is executed."""
    database: Name | None = None
    """The name of an attached database."""
    table: Name | None = None
    """One table of it; without, its only table or all of them."""
    csv: CsvFile | None = None
    """A CSV file; it becomes a database of one table for this question alone."""
    execute: bool = True
    """Run the SQL on the database."""
    adapter: Name | None = None
    """Who must answer: a name (``serve.adapter``'s, one of ``serve.adapters``, ``base`` for the bare base), or a
    version; another one is refused, never taken instead."""
    regime: Regime = "configured"
    """How it is decoded: as the endpoint is configured, without a grammar, with one, or execution-guided."""

    @model_validator(mode="after")
    def _one_source(self) -> Ask:
        if [self.schema_text, self.database, self.csv].count(None) != 2:
            raise ValueError("give either a schema or a database or a csv, one of them alone")
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
    schema_text: str | None = Field(default=None, alias="schema")
    """Of a CSV file: how its columns were understood."""
    adapter: AdapterInfo
    base: str
    regime: str
    """How the answer was decoded, by the name that stands in scores."""
    timing_ms: Timing


class AskMany(BaseModel):
    """Questions that are answered together; at most ``serve.max_batch_questions``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    questions: list[Ask] = Field(min_length=1)


class Failed(BaseModel):
    """A question of a batch that was refused, as it would have been alone."""

    error: str
    status: int


class Answers(BaseModel):
    """One for each question, in order."""

    answers: list[Answer | Failed]


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
    error: str | None = None
    """One line, if its file cannot be read now."""


class Databases(BaseModel):
    """What may be asked about."""

    databases: list[DatabaseInfo]


class Health(BaseModel):
    """The endpoint is up, and with what."""

    status: Literal["ok"] = "ok"
    adapter: AdapterInfo
    base: str


class Readiness(BaseModel):
    """The model answers."""

    status: Literal["ready"] = "ready"
    adapter: AdapterInfo
    adapters: dict[str, AdapterInfo] = {}
    """Others that a question may ask for, by name."""
    problem: str | None = None
    """One line why an adapter is not the newest, if it is not."""


class Failure(BaseModel):
    """The body of every 4xx and 5xx answer."""

    error: str
    """One line."""
