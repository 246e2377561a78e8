"""Asking a trial to stop instead of killing it.

Tune stops a trial by killing its actor. A killed trial leaves its Train workers behind until Ray's cleaner notices, and
the cleaner gives up when the cluster is too busy to answer it; the next trial then waits for their CPUs for ever. A
trial that is asked ends its training itself, at its next step, and frees everything on its way out.
"""

from __future__ import annotations

from typing import Any

import ray


class _StopBoard:
    """Remembers which trials were asked to stop."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def ask(self, trial_id: str) -> None:
        self._asked.add(trial_id)

    def is_asked(self, trial_id: str) -> bool:
        return trial_id in self._asked


def start_stop_board(name: str) -> Any:
    """Start the board as an actor that takes no CPU; keep the handle, the actor lives as long as it does."""
    return ray.remote(_StopBoard).options(name=name, num_cpus=0).remote()


def ask_to_stop(board: str, trial_id: str) -> None:
    """By the board's name, because Tune pickles its schedulers, and handles cannot be pickled there."""
    ray.get_actor(board).ask.remote(trial_id)
