"""What a person sees: results on standard output, progress and logs on standard error.

On a terminal progress is one moving line; elsewhere (a file, a job's log) a plain line now and then.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from t2s.cli.plain import plain
from t2s.masking import mask, mask_word

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

PLAIN_EVERY_S = 10.0
WIDE = 200
"""Columns of a table that is not shown on a terminal, at most."""


def say(text: str) -> None:
    """One line about what is going on; it may quote a registry, a model or a file, which are others' words."""
    err.print(escape(plain(mask(text))))


def next_steps(*commands: str) -> None:
    """The commands to type next."""
    err.print("\n[bold]next[/bold]")
    for command in commands:
        err.print(f"  {escape(' '.join(map(mask_word, command.split(' '))))}")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; model output and cells are shown, never obeyed as markup or a terminal's codes."""
    shown = RichTable(*(escape(plain(name)) for name in head), title=escape(plain(title)), title_justify="left")
    for row in rows:
        shown.add_row(*(escape(plain(cell)) for cell in row))
    # A file or a pipe has no edge where cells would have to be cut.
    console = out if out.is_terminal else Console(file=out.file, width=max(out.width, WIDE), highlight=False)
    console.print(shown)


def same_settings() -> str:
    """The ``-c`` files and overrides of this command, for the next one."""
    words, kept = sys.argv[1:], []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-c", "--config"):
            kept += ["-c", following]
        elif word.startswith("--config="):
            kept += ["-c", word.partition("=")[2]]
        elif re.match(r"-c[^-]", word):
            kept += ["-c", word[2:]]
        elif re.match(r"[a-z_]+(\.\w+)*=", word):
            kept.append(mask_word(word))
    return shlex.join(kept)


def short(path: Path) -> str:
    """The path relative to the current directory if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class Meter:
    """Shows ``done`` of ``total`` with a rate and the time left. Made by :func:`meter`."""

    def __init__(self, title: str, progress: Progress | None) -> None:
        self._title, self._progress = title, progress
        self._task = progress.add_task(escape(title), total=None, note="") if progress else None
        self._started = self._printed = time.monotonic()

    def update(self, done: float, total: float, note: str = "") -> None:
        """``done`` of ``total`` units are finished."""
        elapsed = time.monotonic() - self._started
        left = f"{_clock(elapsed * (total - done) / done)} left" if done else ""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=escape(f"{note}  {left}"))
        elif time.monotonic() - self._printed >= PLAIN_EVERY_S or done >= total:
            self._printed = time.monotonic()
            say(f"{self._title}: {done:g} of {total:g}  {note}  {left}".rstrip())

    def metrics(self, row: dict[str, Any]) -> None:
        """A line of a training's journal."""
        parts = [f"{name} {row[name]:.3f}" for name in ("loss", "eval_loss", "eval_ex") if row.get(name) is not None]
        self.update(row["step"], row.get("total_steps") or row["step"], "  ".join(parts))


@contextmanager
def meter(title: str) -> Iterator[Meter]:
    """A progress display for the length of the block."""
    if not err.is_terminal:
        yield Meter(title, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:g}/{task.total}"))
    with Progress(*columns, TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=err) as progress:
        yield Meter(title, progress)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
