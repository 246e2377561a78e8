"""What goes into the sandbox besides SQL, and what comes out: limits, rows, and four ways to fail."""

from __future__ import annotations

from dataclasses import dataclass

from t2s.errors import SQLError
from t2s.sql.syntax import MAX_SQL_CHARS

Cell = str | int | float | None
"""One value of a row. A BLOB becomes a text such as ``<blob of 12 bytes>``; of DuckDB's richer types decimals become
floats, and dates, times, lists and the like their text."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use. Rows and bytes beyond the caps are cut off, and the result says so."""

    timeout_s: float = 5.0
    """Wall-clock seconds; parsing included; a query is stopped then, its process killed a tenth later."""
    max_rows: int = 10_000
    max_bytes: int = 8_000_000
    """Of all returned values together: text in UTF-8, eight for a number."""
    max_sql_chars: int = MAX_SQL_CHARS
    memory_mb: int = 512
    """Memory of the child process, Python's 40 MB and DuckDB's 90 MB included: at least 64, with DuckDB 192."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise SQLError(f"sandbox limit {name} must be above 0, not {getattr(self, name)}")
        if self.memory_mb < 64:
            raise SQLError(f"sandbox limit memory_mb must be at least 64, not {self.memory_mb}")


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of one query; ``truncated`` if a cap cut them off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    truncated: bool
    elapsed_s: float


class SandboxError(SQLError):
    """The query gave no rows; the subclass says why."""


class InvalidSQL(SandboxError):
    """The text does not parse."""


class Refused(SandboxError):
    """Not one read-only query, or it touches a table or function that is not allowed."""


class ExecutionFailed(SandboxError):
    """The engine could not run it: an unknown table or column, a wrong type, no memory left."""


class TimedOut(SandboxError):
    """It ran longer than its limit."""
