"""Follow a journal while another process writes it, for a progress display."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

POLL_S = 0.5


@contextmanager
def following(path: Path, on_row: Callable[[dict[str, Any]], None] | None) -> Iterator[None]:
    """Call ``on_row`` from a thread with each complete new line of ``path`` until the block ends."""
    if on_row is None:
        yield
        return
    stop = threading.Event()
    seen = _lines(path)  # a run that goes on: its earlier lines are no news
    thread = threading.Thread(target=_follow, args=(path, seen, on_row, stop), name="t2s-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(path: Path, seen: list[bytes], on_row: Callable[[dict[str, Any]], None], stop: threading.Event) -> None:
    last_round = False
    while not last_round:
        last_round = stop.wait(POLL_S)
        lines = _lines(path)
        for line in lines[_common(seen, lines) :]:
            with contextlib.suppress(ValueError):  # cut while it was read
                on_row(json.loads(line))
        seen = lines


def _lines(path: Path) -> list[bytes]:
    """The complete lines of a journal, none if it is not there yet."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _common(seen: list[bytes], lines: list[bytes]) -> int:
    """How many lines are known: a run that goes on from a checkpoint cuts its journal there and writes on.

    The size alone does not tell, since by the next look it may have grown past where it was.
    """
    if seen == lines[: len(seen)]:
        return len(seen)
    return next(at for at, (one, other) in enumerate(zip_longest(seen, lines)) if one != other)
