"""What passes between the two processes: a length in four bytes, then JSON, on standard input and output."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from typing import Any, Literal, Protocol

Request = dict[str, Any]
Reply = dict[str, Any]
Kind = Literal["refused", "failed", "timeout"]

LAYERS = frozenset({"connection", "authorizer", "deadline", "process"})
"""The layers of the child. Only tests leave some out, to see what each of the others holds alone."""


class Failure(Exception):
    """Why a query gives no rows."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class Database(Protocol):
    """One open file."""

    keep: bool
    """Whether it may stay open for the next query."""

    def run(self, request: Request) -> Reply:
        """The rows within the caps; raise :class:`Failure`."""

    def close(self) -> None:
        """Let go of the file."""


def capped(values: Sequence[Any], left: int) -> tuple[list[Any], int]:
    """A row as JSON can carry it, and how many of the ``left`` bytes remain."""
    row = [f"<blob of {len(value)} bytes>" if isinstance(value, bytes) else value for value in values]
    return row, left - sum(len(value.encode()) if isinstance(value, str) else 8 for value in row)


def receive() -> Request | None:
    """The next request; None at the end of the input."""
    head = _read(4)
    if len(head) < 4:
        return None
    body: Request = json.loads(_read(struct.unpack(">I", head)[0]))
    return body


def send(reply: Reply) -> None:
    """Write one reply."""
    body = json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")
    rest = memoryview(struct.pack(">I", len(body)) + body)
    while rest:
        rest = rest[os.write(1, rest) :]


def _read(size: int) -> bytes:
    # Past Python's buffer: what lies there is not seen by select.
    parts = bytearray()
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)
