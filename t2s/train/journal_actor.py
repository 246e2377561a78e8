"""The journal of a run as a Ray actor on the machine of the command that started it.

The first worker may be on another machine, and MLflow may be slow: workers send a line and go on. The actor owns the
file and the sink; it takes no CPU.

A run that goes on from a checkpoint takes the steps after it again, so their lines are cut from the file first: each
line stands there once, and steps never decrease. MLflow keeps what it was sent; steps taken again have equal values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from t2s.track.journal import RESERVED, Journal, read_journal
from t2s.track.sinks import Sink, build_sink

PROGRESS = frozenset({"total_steps", "elapsed_s"})
"""What a line says besides the trainer's own metrics."""

_Line = tuple[int, frozenset[str]]


class _JournalActor:
    def __init__(self, path: Path, sink_arguments: dict[str, Any]) -> None:
        sink: Sink | None = build_sink(**sink_arguments)
        self._path = path
        self._journal = Journal(path, sink).__enter__()
        self._there: set[_Line] = set()
        self._num_starts = 0

    def begin(self, step: int, history: Sequence[Mapping[str, Any]]) -> None:
        """Workers start at ``step``, up to which ``history`` was logged; counts how often they were started again."""
        self._num_starts += 1
        if step == 0 and self._num_starts == 1:
            return
        cut_after(self._path, step)
        rows = read_journal(self._path)
        self._there = {_line(row["step"], row) for row in rows}
        for row in history:  # a line that was on its way when everything was killed
            metrics = {name: float(value) for name, value in row.items() if name != "step" and _is_number(value)}
            self.log(int(row["step"]), metrics)
            self._there.add(_line(int(row["step"]), metrics))
        kind = "restarts" if self._num_starts > 1 else "resumes"
        count = 1 + max((int(row[kind]) for row in rows if row.get(kind)), default=0)
        if kind == "restarts":
            count = max(count, self._num_starts - 1)
        self._journal.log(step, {kind: float(count)})

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write a line, unless a run that went on has it already."""
        if _line(step, metrics) not in self._there:
            self._journal.log(step, metrics)

    def close(self) -> str:
        """Send what is left; one line on what did not arrive, for the driver to say: nobody reads an actor's log."""
        return self._journal.close()


def start_journal(path: Path, **sink_arguments: Any) -> Any:
    """Start the actor beside the caller; ``sink_arguments`` are :func:`t2s.track.sinks.build_sink`'s."""
    here = ray.get_runtime_context().get_node_id()
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    actor = ray.remote(_JournalActor).options(num_cpus=0, scheduling_strategy=strategy)
    return actor.remote(path, sink_arguments)


def cut_after(path: Path, step: int) -> int:
    """Cut the lines of steps after ``step`` from a journal's end; returns how many. Its writer appends as before."""
    if not path.exists():
        return 0
    with path.open("rb+") as stream:
        lines = stream.readlines()
        kept = 0
        while kept < len(lines) and _step(lines[kept]) <= step:
            kept += 1
        stream.truncate(sum(map(len, lines[:kept])))
        stream.flush()
        os.fsync(stream.fileno())
    return len(lines) - kept


def _step(line: bytes) -> float:
    """The step of a line; one that a killed writer left half-written comes after all others."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _line(step: int, names: Iterable[str]) -> _Line:
    return step, frozenset(names) - PROGRESS - RESERVED


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
