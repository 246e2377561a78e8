"""What a slot host tells a trial: a rung that was reached, how it failed, that its slot is gone; errors as one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from t2s.errors import RunError, T2SError


class SlotLost(RunError):
    """The host does not know the trial: its slot was freed, or the host was started anew."""


@dataclass(frozen=True)
class News:
    """A rung that a trial has reached, or how it failed."""

    number: int
    rung: int
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    peers: list[tuple[int, float]] = field(default_factory=list)
    """Objectives of the other trials that reached this rung in the same step."""
    error: str = ""


def cause_of(error: BaseException) -> Any:
    """What was raised on the other side: Ray's error carries it with its traceback."""
    return getattr(error, "cause", error)


def first_line(error: BaseException) -> str:
    """An error as one line; one of ours speaks for itself, another one is named."""
    error = cause_of(error)
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if isinstance(error, T2SError) else f"{type(error).__name__}: {text}"
