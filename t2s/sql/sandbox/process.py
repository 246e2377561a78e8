"""One child process, from the outside: start it, ask it, and kill it when it is late."""

from __future__ import annotations

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
from t2s.sql.sandbox.outcome import Limits

_PROGRAM = Path(__file__).with_name("child.py")
_START_S = 20.0
_GRACE_S = 0.1
"""How much later than the deadline inside SQLite the process is killed."""


class ChildDied(Exception):
    """The process ended before it replied; ``args[0]`` is its return code (minus the signal, if any)."""


class Child:
    """A running child. Not thread safe: one question at a time."""

    def __init__(self, limits: Limits) -> None:
        self._max_reply = 8 * limits.max_bytes + 1_000_000
        config = json.dumps({"memory_bytes": limits.memory_mb * 2**20})
        # A new program, not a fork: a fork of a process that runs torch or Ray inherits its locks and memory.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            # Ctrl-C is for us to handle; the child ends when its input does.
            start_new_session=True,
        )
        try:
            self._receive(time.monotonic() + _START_S)
        except (ChildDied, TimeoutError) as error:
            self.kill()
            raise SetupError(f"the SQL sandbox did not start: {sys.executable} {_PROGRAM} ({error!r})") from error

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Its reply. Raise ``TimeoutError`` if late, :class:`ChildDied` if it ended; kill it after either."""
        deadline = time.monotonic() + timeout_s + _GRACE_S
        body = json.dumps(request).encode()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack(">I", len(body)) + body)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildDied(self._process.wait()) from error
        return self._receive(deadline)

    def stop(self) -> None:
        """End it at once, from any thread: whoever waits for its reply gets :class:`ChildDied`."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it at once and let go of its pipes; only for the thread that asks it, or if none does."""
        self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    # Closing flushes what the dead process did not read.
                    continue

    def _receive(self, deadline: float) -> dict[str, Any]:
        size = struct.unpack(">I", self._read(4, deadline))[0]
        if size > self._max_reply:
            raise ChildDied(-signal.SIGKILL)
        reply: dict[str, Any] = json.loads(self._read(size, deadline))
        return reply

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        parts = bytearray()
        while len(parts) < size:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poller.poll(left_ms):
                raise TimeoutError
            # The pipe is read past Python's buffer, which poll does not see.
            part = os.read(pipe, min(size - len(parts), 1 << 20))
            if not part:
                raise ChildDied(self._process.wait())
            parts += part
        return bytes(parts)
