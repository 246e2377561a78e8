"""One child process, from the outside: start it, ask it, and kill it when it is late."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from t2s.errors import SetupError
from t2s.sql.database import Engine
from t2s.sql.sandbox.inside.wire import LAYERS
from t2s.sql.sandbox.outcome import Limits

_START_S = 20.0
_GRACE_S = 0.1
"""How much later than the deadline inside the engine the process is killed."""
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from inside.main import main; main()"


class ChildDied(Exception):
    """The process ended before it replied; ``args[0]`` is its return code (minus the signal, if any)."""


class Child:
    """A running child. Not thread safe: one question at a time."""

    def __init__(self, limits: Limits, engine: Engine = "sqlite", layers: frozenset[str] = LAYERS) -> None:
        self._max_reply = 8 * limits.max_bytes + 1_000_000
        config: dict[str, Any] = {"memory_bytes": limits.memory_mb * 2**20, "engine": engine, "layers": sorted(layers)}
        if engine == "duckdb":
            config["site"] = _folder_of_duckdb()
        # A new program, not a fork: a fork of a process that runs torch or Ray inherits its locks and memory.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(Path(__file__).parent), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={},
            cwd="/",
            # Ctrl-C is for us to handle; the child ends when its input does.
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._poller = select.poll()
        self._poller.register(self._stdout, select.POLLIN)
        try:
            self.receive(time.monotonic() + _START_S)
        except (ChildDied, TimeoutError) as error:
            self.kill()
            raise SetupError(f"the SQL sandbox did not start: {sys.executable} for {engine} ({error!r})") from error

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, request: dict[str, Any], timeout_s: float) -> float:
        """Ask, and return the moment until which to wait for the reply, which also tells if the child is dead."""
        body = json.dumps(request).encode()
        message = memoryview(struct.pack(">I", len(body)) + body)
        try:
            while message:
                message = message[self._stdin.write(message) or 0 :]
        except BrokenPipeError:
            # It ended meanwhile, and its output with it: whoever reads that will see.
            self._process.wait()
        return time.monotonic() + timeout_s + _GRACE_S

    def stop(self) -> None:
        """End it at once, from any thread: whoever waits for its reply gets :class:`ChildDied`."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it at once and let go of its pipes; only for the thread that asks it, or if none does."""
        self.stop()
        self._stdin.close()
        self._stdout.close()

    def receive(self, deadline: float) -> dict[str, Any]:
        """Its reply. Raise ``TimeoutError`` if late, :class:`ChildDied` if it ended; kill it after either."""
        size = struct.unpack(">I", self._read(4, deadline))[0]
        if size > self._max_reply:
            raise ChildDied(-signal.SIGKILL)
        reply: dict[str, Any] = json.loads(self._read(size, deadline))
        return reply

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            # A reply that lies in the pipe is read, however late: the one who asked may have been busy.
            if not self._poller.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                raise TimeoutError
            part = os.read(self._stdout.fileno(), min(size - len(parts), 1 << 20))
            if not part:
                raise ChildDied(self._process.wait())
            parts += part
        return bytes(parts)


def _folder_of_duckdb() -> str:
    """Where DuckDB is installed, found without loading it."""
    found = importlib.util.find_spec("duckdb")
    if found is None or found.origin is None:
        raise SetupError("DuckDB files need the package duckdb, which is not installed: pip install duckdb")
    return str(Path(found.origin).parents[1])
