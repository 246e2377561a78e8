"""Two trainings that take turns, a step of one and the same step of the other, so that a noisy machine hits both alike.

A folder holds a pipe for each; who has read a byte from its own has the turn. A turn is everything from one step's
beginning to the next one's: the step, what is logged, and the next batch.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


def open_pipes(folder: Path, names: tuple[str, str]) -> tuple[int, int]:
    """The ends on which each waits; kept open by who calls this, they hold a turn that nobody reads yet."""
    pipes = [folder / f"{name}.turn" for name in names]
    for pipe in pipes:
        if not pipe.exists():
            os.mkfifo(pipe)
    first, second = (os.open(pipe, os.O_RDWR) for pipe in pipes)
    return first, second


class Turns(TrainerCallback):
    """Waits for its turn before each step and writes ``folder/<name>.json`` at the end: seconds of each turn."""

    def __init__(self, folder: Path, name: str, other: str) -> None:
        self._own, self._other = open_pipes(folder, (name, other))
        self._out = folder / f"{name}.json"
        self._began: tuple[float, float] | None = None
        self.spent: list[tuple[float, float]] = []
        """(on the clock, of this process's CPU time) of each turn."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pass_on()
        os.read(self._own, 1)
        self._began = (time.perf_counter(), time.process_time())

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._pass_on()
        self._out.write_text(json.dumps(self.spent), "utf-8")

    def _pass_on(self) -> None:
        if self._began is not None:
            wall, cpu = self._began
            self.spent.append((time.perf_counter() - wall, time.process_time() - cpu))
            os.write(self._other, b".")


def take_turns(folder: Path, name: str, other: str) -> None:
    """Every trainer that this process builds from now on takes turns with the other process's."""
    from t2s.train import loop

    build = loop.build_trainer

    def build_one(*arguments: Any, **keywords: Any) -> Any:
        trainer = build(*arguments, **keywords)
        trainer.add_callback(Turns(folder, name, other))
        return trainer

    loop.build_trainer = build_one
