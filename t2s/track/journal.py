"""The journal: ``metrics.jsonl``, one line a call of :meth:`Journal.log`, complete whatever else is away.

A line is ``{"step": int, "time": unix seconds, <metric>: number | null, ..., "non_finite": [names]}``. Plain
JSON has no NaN: a non-finite value is written as null and named in ``non_finite``, which is there only then.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from t2s.errors import DataError, RunError
from t2s.track.sinks import Sink

log = logging.getLogger("t2s.track")

FILE_NAME = "metrics.jsonl"
RESERVED = frozenset({"step", "time", "non_finite"})


class Journal:
    """Appends metrics to a file, a line at a time, and hands them to a sink. A context manager."""

    def __init__(self, path: Path, sink: Sink | None = None) -> None:
        """``path`` is the file to append to; its directory is made when the journal is entered."""
        self.path = path
        self._sink = sink
        self._file: IO[str] | None = None

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(self.path)
        self._file = self.path.open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if problem := self.close():
            log.warning("%s", problem)

    def close(self) -> str:
        """Close the file and the sink; return the sink's one line on what did not arrive, "" if all did."""
        if self._file is not None:
            self._file.close()
            self._file = None
        return self._sink.close() if self._sink is not None else ""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line now, then hand the finite values to the sink, which does not wait.

        Raises:
            RunError: the disk refused the line; a run whose journal has holes must not look complete.
        """
        assert self._file is not None, "a journal is a context manager: with Journal(path) as journal"
        assert not RESERVED & metrics.keys(), f"reserved metric names: {sorted(RESERVED & metrics.keys())}"
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        try:
            self._file.write(_line(step, metrics, finite))
        except OSError as error:
            raise RunError(f"{self.path}: cannot write metrics: {error.strerror}; free some disk space") from None
        if self._sink is not None and finite:
            self._sink.log(step, finite)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal in order; a last line without its newline (a killed writer) is left out.

    Raises:
        DataError: the file is missing, or another line is not a JSON object with a step; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a journal: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a journal: the file is not UTF-8 text") from None
    complete = text[: text.rfind("\n") + 1]
    return [_row(path, number, line) for number, line in enumerate(complete.split("\n"), 1) if line]


def finite_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one line that have a value."""
    return {name: value for name, value in row.items() if name not in RESERVED and value is not None}


def _line(step: int, metrics: Mapping[str, float], finite: Mapping[str, float]) -> str:
    row: dict[str, Any] = {"step": int(step), "time": round(time.time(), 3)}
    row |= {name: finite.get(name) for name in metrics}
    missing = [name for name in metrics if name not in finite]
    return json.dumps(row | ({"non_finite": missing} if missing else {}), allow_nan=False) + "\n"


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON: {error.msg}") from None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise DataError(f'{path}, line {number}: expected {{"step": number, ...}}, found {line[:60]!r}')
    for name in row.keys() - {"non_finite"}:
        if row[name] is not None and not isinstance(row[name], int | float):
            raise DataError(f"{path}, line {number}: {name} is {str(row[name])[:40]!r}, expected a number or null")
    return row


def _drop_torn_line(path: Path) -> None:
    """Cut a half-written last line: the next append would land on it and spoil two lines."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        data = file.read()
        if not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
