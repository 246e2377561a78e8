"""The child's loop: read a request, run it, reply; end with the input or with the parent."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

from .limits import limit_cpu, limit_process
from .wire import Database, Failure, Reply, Request, receive, send

_MAX_CONNECTIONS = 4
_IDLE_S = 1.0
"""After so long without a request the files are let go: their owner may want to write to them."""


class Open:
    """The open databases, by path and stamp."""

    def __init__(self, opener: Callable[[Request], Database]) -> None:
        self._opener = opener
        self._databases: dict[tuple[str, str], Database] = {}

    def get(self, request: Request) -> Database:
        """The database that ``request`` is about."""
        key = (request["path"], request["stamp"])
        if key not in self._databases:
            # The same file under an older stamp goes too: DuckDB opens one version of a file at a time.
            for old in [each for each in self._databases if each[0] == key[0]]:
                self._databases.pop(old).close()
            while len(self._databases) >= _MAX_CONNECTIONS:
                self._databases.pop(next(iter(self._databases))).close()
            self._databases[key] = self._opener(request)
        return self._databases[key]

    def settle(self, request: Request) -> None:
        """After a query: let go of a file that is not to be kept."""
        used = self._databases.get(key := (request["path"], request["stamp"]))
        if used is not None and not used.keep:
            self._databases.pop(key).close()

    def close(self) -> None:
        """Let go of all files."""
        while self._databases:
            self._databases.popitem()[1].close()


def main() -> None:
    """Answer requests until the input or the parent ends."""
    config = json.loads(sys.argv[2])
    os.chdir("/")
    databases = Open(_prepare(config))
    parent = os.getppid()
    if "process" in config["layers"]:
        limit_process(config["memory_bytes"], on_top=config["engine"] == "duckdb")
    send({"ready": os.getpid()})
    while True:
        if not select.select([0], [], [], _IDLE_S)[0]:
            databases.close()
            # The input stays open where a fork of the parent holds its other end.
            if os.getppid() != parent:
                return
            continue
        request = receive()
        if request is None:
            return
        if "process" in config["layers"]:
            limit_cpu(request["timeout_s"])
        reply = _answer(request, databases)
        databases.settle(request)
        send(reply)


def _prepare(config: dict[str, Any]) -> Callable[[Request], Database]:
    """Load the engine, and say how it opens a file."""
    layers = frozenset(config["layers"])
    if config["engine"] == "duckdb":
        from .duckdb_engine import DuckDBFile, start

        start(config["site"])
        return lambda request: DuckDBFile(request["path"], config["memory_bytes"], layers)
    from .sqlite_engine import SQLiteFile

    return lambda request: SQLiteFile(request["path"], config["memory_bytes"], layers)


def _answer(request: Request, databases: Open) -> Reply:
    started = time.monotonic()
    try:
        reply = databases.get(request).run(request)
    except Failure as error:
        reply = {"error": error.kind, "message": str(error)}
    except MemoryError:
        reply = {"error": "failed", "message": "out of memory: the query needs more than it is allowed"}
    except Exception as error:
        # The other side waits for a reply: whatever a hostile text has found, it gets one.
        reply = {"error": "failed", "message": f"{type(error).__name__}: {error}"}
    reply["elapsed_s"] = time.monotonic() - started
    return reply
