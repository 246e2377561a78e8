"""The program of the child process: layers 2 to 5 of the sandbox. Standard library only.

It is started as ``python -I -S child.py LIMITS`` with an empty environment, and reads one request after
another from its standard input: a length in four bytes, then JSON. It ends when its input ends. It trusts
the requests (they come from our own process) but not the SQL in them.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

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
_MAX_CONNECTIONS = 4

Reply = dict[str, Any]


class Database:
    """One open file, and which of its tables the query of the moment may read."""

    def __init__(self, uri: str, heap_bytes: int) -> None:
        # No statement cache: a cached statement would not be authorized again under another list of tables.
        self.connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for limit, value in _SQLITE_LIMITS.items():
            self.connection.setlimit(limit, value)
        for pragma in (
            "query_only=1",
            "temp_store=MEMORY",
            "trusted_schema=0",
            f"hard_heap_limit={heap_bytes}",
        ):
            self.connection.execute(f"PRAGMA {pragma}").close()
        # A reader that stays keeps the owner of a write-ahead database from tidying up its files.
        (mode,) = self.connection.execute("PRAGMA journal_mode").fetchone()
        self.keep = mode != "wal"
        rows = self.connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        self.tables = frozenset(row[0].lower() for row in rows if not row[0].startswith("sqlite_"))
        modules = self.connection.execute("PRAGMA module_list")
        self.modules = frozenset(row[0].lower() for row in modules)
        self.allowed = frozenset[str]()
        self.deadline = math.inf
        self.connection.set_progress_handler(self._is_late, _PROGRESS_STEPS)
        self.connection.set_authorizer(self._authorize)

    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Deny by default: layer 3."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._readable((first or "").lower(), second):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _readable(self, table: str, column: str | None) -> bool:
        # A WITH query of which no column is used (COUNT(*)) is reported under its own name, without a column.
        return table in self.allowed or (not column and not self._exists(table))

    def _exists(self, table: str) -> bool:
        return table in self.tables or table in self.modules or table.startswith(("sqlite_", "pragma_"))

    def run(self, request: dict[str, Any]) -> Reply:
        """The rows within the caps; raise what SQLite raises."""
        wanted = request["tables"]
        listed = self.tables if wanted is None else frozenset(name.lower() for name in wanted)
        self.allowed = listed & self.tables
        self.deadline = time.monotonic() + request["timeout_s"]
        cursor = self.connection.execute(request["sql"])
        try:
            if cursor.description is None:
                return {"error": "refused", "message": "not a query: it returns no columns"}
            columns = [column[0] for column in cursor.description]
            rows, truncated = _fetch(cursor, request["max_rows"], request["max_bytes"])
            return {"columns": columns, "rows": rows, "truncated": truncated}
        finally:
            cursor.close()
            self.deadline = math.inf


def _fetch(cursor: sqlite3.Cursor, max_rows: int, max_bytes: int) -> tuple[list[list[Any]], bool]:
    rows: list[list[Any]] = []
    left = max_bytes
    for row in cursor:
        values = [f"<blob of {len(v)} bytes>" if isinstance(v, bytes) else v for v in row]
        left -= sum(len(v.encode()) if isinstance(v, str) else 8 for v in values)
        if left < 0 or len(rows) == max_rows:
            return rows, True
        rows.append(values)
    return rows, False


def answer(request: dict[str, Any], open_database: Callable[[str, str], Database]) -> Reply:
    """The reply to one request: rows, or ``error`` (refused, failed, timeout) with a message."""
    started = time.monotonic()
    try:
        reply = open_database(request["uri"], request["stamp"]).run(request)
    except MemoryError:
        reply = {"error": "failed", "message": "out of memory: the query needs more than it is allowed"}
    except sqlite3.Error as error:
        reply = {"error": _kind(error), "message": str(error)}
    except Exception as error:
        # The other side waits for a reply: whatever a hostile text has found, it gets one.
        reply = {"error": "failed", "message": f"{type(error).__name__}: {error}"}
    reply["elapsed_s"] = time.monotonic() - started
    return reply


def _kind(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        return "timeout"
    # A denied function is reported under the general error code, only its message tells.
    denied = code == sqlite3.SQLITE_AUTH or str(error).startswith("not authorized")
    return "refused" if denied else "failed"


def limit_process(memory_bytes: int) -> None:
    """Layer 5 from inside: no files, processes or core dumps, so much memory. CPU is set for each query."""
    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, value in wanted.items():
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            # macOS knows RLIMIT_AS but refuses to set it; the other limits stand.
            continue


def limit_cpu(seconds: float) -> None:
    """Let this process burn ``seconds`` more, rounded up; the kernel kills it then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    body: dict[str, Any] = json.loads(stream.read(struct.unpack(">I", head)[0]))
    return body


def _write(stream: BinaryIO, reply: Reply) -> None:
    body = json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def main() -> None:
    """Answer requests until the input ends."""
    limits = json.loads(sys.argv[1])
    os.chdir("/")
    limit_process(limits["memory_bytes"])
    opened: dict[tuple[str, str], Database] = {}

    def open_database(uri: str, stamp: str) -> Database:
        key = (uri, stamp)
        if key not in opened:
            while len(opened) >= _MAX_CONNECTIONS:
                opened.pop(next(iter(opened))).connection.close()
            opened[key] = Database(uri, limits["memory_bytes"] // 2)
        return opened[key]

    _write(sys.stdout.buffer, {"ready": os.getpid()})
    while (request := _read(sys.stdin.buffer)) is not None:
        limit_cpu(request["timeout_s"])
        reply = answer(request, open_database)
        used = opened.get(key := (request["uri"], request["stamp"]))
        # No state of a query that went wrong is kept.
        if used is not None and ("error" in reply or not used.keep):
            opened.pop(key).connection.close()
        _write(sys.stdout.buffer, reply)


if __name__ == "__main__":
    main()
