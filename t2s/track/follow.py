"""Follow a journal while another process writes it, for a progress display."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    thread = threading.Thread(target=_follow, args=(path, on_row, stop), name="t2s-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(path: Path, on_row: Callable[[dict[str, Any]], None], stop: threading.Event) -> None:
    position = path.stat().st_size if path.exists() else 0  # a run that goes on: its earlier lines are no news
    last_round = False
    while not last_round:
        last_round = stop.wait(POLL_S)
        if not path.exists():
            continue
        position = min(position, path.stat().st_size)  # a run that goes on from a checkpoint cuts its journal
        with path.open("rb") as stream:
            stream.seek(position)
            new = stream.read()
        complete = new[: new.rfind(b"\n") + 1]
        position += len(complete)
        for line in complete.splitlines():
            with contextlib.suppress(ValueError):  # cut while it was read
                on_row(json.loads(line))
