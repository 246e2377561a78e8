"""The sandbox as its users see it: a database file and a text go in, rows or an error come out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from t2s.errors import DataError
from t2s.sql.database import Engine, duckdb_path, engine_of, read_only_uri
from t2s.sql.sandbox.guard import guarded
from t2s.sql.sandbox.outcome import ExecutionFailed, Limits, Refused, Result, SandboxError
from t2s.sql.sandbox.pool import Pool, Turn, too_late

Ask = tuple[str, Sequence[str] | None]
"""A text, and the tables that it may read (None: all)."""
_MAX_KNOWN = 64
_DUCKDB_MB = 192
_LEAST_S = 0.05


class File(NamedTuple):
    """A database file as the child is told of it."""

    engine: Engine
    path: str
    stamp: str
    """Changes when the file is replaced or rewritten: it is opened anew then."""


class Sandbox:
    """Runs SQL that nobody trusts. Thread safe; children start when needed, up to ``workers`` for each engine.

    Close it, or use ``with``.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        self.limits = limits or Limits()
        self._pool = Pool(self.limits, workers)
        self._known: dict[Path, File] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children, also in the middle of a query. It cannot be used again."""
        self._pool.close()

    def run(self, database: Path, sql: str, tables: Sequence[str] | None = None) -> Result:
        """The rows of ``sql`` on the SQLite or DuckDB file ``database``, reading only ``tables`` (None: all).

        ``tables`` are names in any case, of views too (whose own tables need not be listed); in DuckDB those
        outside the schema ``main`` are written ``schema.name``. Raise :class:`InvalidSQL`, :class:`Refused`,
        :class:`ExecutionFailed` or :class:`TimedOut`, all :class:`SandboxError`; :class:`DataError` if there is
        no such file or it is no database.
        """
        started = time.monotonic()
        file = self._file(database)
        hardened = guarded(sql, self.limits.max_sql_chars, file.engine)
        return self._run(file, hardened, tables, started)

    def run_many(self, database: Path, asked: Iterable[Ask]) -> list[Result | SandboxError]:
        """As :meth:`run` for each of ``asked``, in order, with errors in the place of rows.

        Faster than one by one: while the child runs a query, the next is parsed here. Raise :class:`DataError`.
        """
        answers: list[Result | SandboxError] = []
        turn: Turn | None = None
        try:
            for sql, tables in list(asked):
                started = time.monotonic()
                file = self._file(database)
                prepared = self._prepared(sql, file.engine)
                spent = time.monotonic() - started
                if turn is not None:
                    finished, turn = turn, None
                    answers.append(self._answer(finished))
                if isinstance(prepared, SandboxError):
                    answers.append(prepared)
                else:
                    began = time.monotonic() - spent
                    turn = Turn(self._pool, file.engine, self._request(file, prepared, tables, began))
        finally:
            if turn is not None:
                answers.append(self._answer(turn))
        return answers

    def _execute(self, database: Path, sql: str, tables: Sequence[str] | None = None) -> Result:
        """As :meth:`run` without the first layer: for tests that the others hold alone."""
        return self._run(self._file(database), sql, tables, time.monotonic())

    def _run(self, file: File, sql: str, tables: Sequence[str] | None, started: float) -> Result:
        answer = self._answer(Turn(self._pool, file.engine, self._request(file, sql, tables, started)))
        if isinstance(answer, SandboxError):
            raise answer
        return answer

    def _prepared(self, sql: str, engine: Engine) -> str | SandboxError:
        try:
            return guarded(sql, self.limits.max_sql_chars, engine)
        except SandboxError as error:
            return error

    def _file(self, database: Path) -> File:
        try:
            stat = database.stat()
            stamp = f"{stat.st_dev}:{stat.st_ino}:{stat.st_mtime_ns}:{stat.st_size}"
        except (OSError, ValueError):
            # It says better what is wrong.
            engine_of(database)
            raise
        known = self._known.get(database)
        if known is not None and known.stamp == stamp:
            return known
        engine = engine_of(database)
        try:
            path = read_only_uri(database) if engine == "sqlite" else duckdb_path(database)
        except OSError as error:
            raise DataError(f"{database}: cannot be read ({error.strerror})") from error
        if engine == "duckdb" and self.limits.memory_mb < _DUCKDB_MB:
            raise DataError(f"{database}: a DuckDB file needs a sandbox limit memory_mb of {_DUCKDB_MB} or more")
        return self._remembered(database, File(engine, path, stamp))

    def _remembered(self, database: Path, file: File) -> File:
        # How a write-ahead database is opened depends on the files beside it, which the stamp does not see.
        if file.engine == "duckdb" or file.path.endswith("?mode=ro"):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[database] = file
        return file

    def _request(self, file: File, sql: str, tables: Sequence[str] | None, started: float) -> dict[str, Any]:
        return {
            "path": file.path,
            "stamp": file.stamp,
            "sql": sql,
            "tables": None if tables is None else list(tables),
            # Parsing counts too: a long text can take as long to read as a query to run.
            "timeout_s": max(_LEAST_S, self.limits.timeout_s - (time.monotonic() - started)),
            "max_rows": self.limits.max_rows,
            "max_bytes": self.limits.max_bytes,
        }

    def _answer(self, turn: Turn) -> Result | SandboxError:
        try:
            reply = turn.reply()
        except SandboxError as error:
            return error
        if "error" not in reply:
            rows = tuple(tuple(row) for row in reply["rows"])
            return Result(tuple(reply["columns"]), rows, reply["truncated"], reply["elapsed_s"])
        if reply["error"] == "timeout":
            return too_late(self.limits.timeout_s)
        kind = Refused if reply["error"] == "refused" else ExecutionFailed
        return kind(reply["message"])
