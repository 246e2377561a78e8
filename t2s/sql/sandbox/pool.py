"""The sandbox as its users see it: a few long-lived child processes that take turns."""

from __future__ import annotations

import os
import queue
import signal
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from t2s.errors import DataError
from t2s.sql.database import read_only_uri
from t2s.sql.sandbox.guard import check_read_only, harden_quotes
from t2s.sql.sandbox.outcome import ExecutionFailed, Limits, Refused, Result, SandboxError, TimedOut
from t2s.sql.sandbox.process import Child, ChildDied


class Sandbox:
    """Runs SQL that nobody trusts. Thread safe; children start when needed. Close it, or use ``with``."""

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        self.limits = limits or Limits()
        self._workers = workers
        self._closed = False
        self._make_slots()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children, also in the middle of a query. It cannot be used again."""
        self._closed = True
        self._finalizer()
        while not self._slots.empty():
            self._end(self._slots.get())

    def run(self, database: Path, sql: str, tables: Sequence[str] | None = None) -> Result:
        """The rows of ``sql`` on the SQLite file ``database``, reading only ``tables`` (None: all).

        Raise :class:`InvalidSQL`, :class:`Refused`, :class:`ExecutionFailed` or :class:`TimedOut`, all
        :class:`SandboxError`; :class:`DataError` if there is no such file.
        """
        check_read_only(sql, self.limits.max_sql_chars)
        return self._execute(database, harden_quotes(sql), tables)

    def _execute(self, database: Path, sql: str, tables: Sequence[str] | None = None) -> Result:
        """As :meth:`run` without the first layer: for tests that the others hold alone."""
        request = self._request(database, sql, tables)
        slots = self._slots_of_this_process()
        child = slots.get()
        try:
            if child is None or not child.is_alive:
                child = self._start()
            reply = child.ask(request, self.limits.timeout_s)
        except TimeoutError as error:
            self._end(child)
            raise self._too_late() from error
        except ChildDied as error:
            self._end(child)
            raise self._died(error.args[0]) from error
        except BaseException:
            # A child whose reply was not read would give it to the next question.
            self._end(child)
            raise
        finally:
            slots.put(child if child is not None and child.is_alive else None)
        return self._result(reply)

    def _request(self, database: Path, sql: str, tables: Sequence[str] | None) -> dict[str, Any]:
        try:
            uri, stat = read_only_uri(database), database.stat()
        except OSError as error:
            raise DataError(f"{database}: cannot be read ({error.strerror})") from error
        return {
            "uri": uri,
            # A file that was replaced or rewritten is opened anew.
            "stamp": f"{stat.st_dev}:{stat.st_ino}:{stat.st_mtime_ns}:{stat.st_size}",
            "sql": sql,
            "tables": None if tables is None else list(tables),
            "timeout_s": self.limits.timeout_s,
            "max_rows": self.limits.max_rows,
            "max_bytes": self.limits.max_bytes,
        }

    def _result(self, reply: dict[str, Any]) -> Result:
        if "error" not in reply:
            rows = tuple(tuple(row) for row in reply["rows"])
            return Result(tuple(reply["columns"]), rows, reply["truncated"], reply["elapsed_s"])
        if reply["error"] == "timeout":
            raise self._too_late()
        kind = Refused if reply["error"] == "refused" else ExecutionFailed
        raise kind(reply["message"])

    def _too_late(self) -> TimedOut:
        return TimedOut(f"the query ran longer than {self.limits.timeout_s:g} s and was stopped")

    def _died(self, returncode: int) -> SandboxError:
        if returncode == -signal.SIGXCPU:
            return self._too_late()
        return ExecutionFailed(f"the query ended its process (code {returncode}): most likely out of memory")

    def _make_slots(self) -> None:
        self._pid = os.getpid()
        self._children: set[Child] = set()
        self._slots: queue.LifoQueue[Child | None] = queue.LifoQueue()
        for _ in range(self._workers):
            self._slots.put(None)
        self._finalizer = weakref.finalize(self, _stop_all, self._children)

    def _slots_of_this_process(self) -> queue.LifoQueue[Child | None]:
        if self._pid != os.getpid():
            # After a fork the pipes belong to the parent: two processes would read each other's replies.
            self._finalizer.detach()
            self._make_slots()
        if self._closed:
            raise ExecutionFailed("the sandbox is closed")
        return self._slots

    def _start(self) -> Child:
        child = Child(self.limits)
        self._children.add(child)
        return child

    def _end(self, child: Child | None) -> None:
        if child is not None:
            self._children.discard(child)
            child.kill()


def _stop_all(children: set[Child]) -> None:
    for child in list(children):
        child.stop()
