"""SQLite in the child: layers 2 to 4. Standard library only.

Not covered by the authorizer: what a query may learn from the tables that it may read, and how long one function
call takes (SQLite looks at the clock between steps, so the process is killed then).
"""

from __future__ import annotations

import math
import sqlite3
import time
from typing import Any

from .sqlite_views import Views
from .wire import Failure, Kind, Reply, Request, capped

_FUNCTION_NAMES = """
abs avg ceil ceiling coalesce count cume_dist date datetime dense_rank first_value floor glob group_concat
ifnull iif instr julianday lag last_value lead length like lower ltrim max min mod nth_value ntile nullif
percent_rank pow power rank replace round row_number rtrim sign sqrt strftime substr substring sum time
total trim trunc typeof unicode unixepoch upper
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
"""What a query may call. Left out: what makes text out of nothing (printf, zeroblob, char, hex), what is
random, what tells about SQLite or loads code, and all that is not needed to answer a question about a
table."""

_SQLITE_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 2_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_PROGRESS_STEPS = 1_000


class SQLiteFile:
    """One open file, and which of its tables the query of the moment may read."""

    def __init__(self, uri: str, memory_bytes: int, layers: frozenset[str]) -> None:
        try:
            self._open(uri, memory_bytes, layers)
        except sqlite3.Error as error:
            raise Failure(_kind(error), str(error)) from error

    def _open(self, uri: str, memory_bytes: int, layers: frozenset[str]) -> None:
        strict = "connection" in layers
        # No statement cache: a cached statement would not be authorized again under another list of tables.
        self._connection = sqlite3.connect(
            uri if strict else uri.replace("mode=ro", "mode=rw"), uri=True, isolation_level=None, cached_statements=0
        )
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        self._tables = frozenset(row[0].lower() for row in rows if not row[0].startswith("sqlite_"))
        self._modules = frozenset(row[0].lower() for row in self._connection.execute("PRAGMA module_list"))
        self._views = Views(self._connection)
        if strict:
            self._restrict(memory_bytes // 2)
        # A reader that stays keeps the owner of a write-ahead database from tidying up its files.
        (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        self.keep = mode != "wal"
        self._allowed = frozenset[str]()
        self._deadline = math.inf
        if "deadline" in layers:
            self._connection.set_progress_handler(self._is_late, _PROGRESS_STEPS)
        if "authorizer" in layers:
            self._connection.set_authorizer(self._authorize)

    def _restrict(self, heap_bytes: int) -> None:
        for limit, value in _SQLITE_LIMITS.items():
            self._connection.setlimit(limit, value)
        for pragma in ("query_only=1", "temp_store=MEMORY", "trusted_schema=0", f"hard_heap_limit={heap_bytes}"):
            self._connection.execute(f"PRAGMA {pragma}").close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def run(self, request: Request) -> Reply:
        """The rows within the caps; raise :class:`Failure`."""
        wanted = request["tables"]
        listed = self._tables if wanted is None else frozenset(name.lower() for name in wanted)
        self._allowed = listed & self._tables
        self._views.grant(self._allowed, request["sql"])
        self._deadline = time.monotonic() + request["timeout_s"]
        keep, self.keep = self.keep, False
        try:
            reply = self._rows(request)
            # No state of a query that went wrong is kept.
            self.keep = keep
            return reply
        except sqlite3.Error as error:
            raise Failure(_kind(error), self._views.public(str(error))) from error
        finally:
            self._deadline = math.inf

    def _rows(self, request: Request) -> Reply:
        cursor = self._connection.execute(request["sql"])
        try:
            if cursor.description is None:
                raise Failure("refused", "not a query: it returns no columns")
            rows, truncated = _fetch(cursor, request["max_rows"], request["max_bytes"])
            return {"columns": [column[0] for column in cursor.description], "rows": rows, "truncated": truncated}
        finally:
            cursor.close()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, inside: str | None
    ) -> int:
        """Deny by default: layer 3. ``inside`` is the innermost view (or WITH query) that asks, if any."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._readable((first or "").lower(), second, inside):
            return sqlite3.SQLITE_OK
        # What the owner's views call, their owner has chosen.
        if action == sqlite3.SQLITE_FUNCTION and ((second or "").lower() in FUNCTIONS or self._views.trusts(inside)):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _readable(self, table: str, column: str | None, inside: str | None) -> bool:
        # A WITH query of which no column is used (COUNT(*)) is reported under its own name, without a column.
        is_with_query = not column and not self._exists(table)
        return table in self._allowed or is_with_query or self._views.may_read(table, column, inside)

    def _exists(self, table: str) -> bool:
        return table in self._tables or table in self._modules or table.startswith(("sqlite_", "pragma_"))


def _fetch(cursor: sqlite3.Cursor, max_rows: int, max_bytes: int) -> tuple[list[list[Any]], bool]:
    rows: list[list[Any]] = []
    left = max_bytes
    for row in cursor:
        values, left = capped(row, left)
        if left < 0 or len(rows) == max_rows:
            return rows, True
        rows.append(values)
    return rows, False


def _kind(error: sqlite3.Error) -> Kind:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        return "timeout"
    # A denied function is reported under the general error code, only its message tells.
    denied = code == sqlite3.SQLITE_AUTH or str(error).startswith("not authorized")
    return "refused" if denied else "failed"
