"""Two systems on the same questions: who is right where, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from t2s.evaluate.statistics import RESAMPLES, mcnemar_exact, paired_bootstrap, wilson


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion with its 95% Wilson interval."""

    correct: int
    n: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """``first`` beside ``second`` on the ``n`` questions that both were measured on."""

    n: int
    first: Share
    second: Share
    only_first: int
    only_second: int
    difference: float
    """First minus second, with its bootstrap interval ``low`` to ``high``."""
    low: float
    high: float
    p_value: float
    """McNemar's exact test, two-sided."""
    resamples: int = RESAMPLES

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def share(marks: Sequence[bool]) -> Share:
    """The proportion of true marks; ``marks`` must not be empty."""
    correct = sum(marks)
    return Share(correct, len(marks), correct / len(marks), *wilson(correct, len(marks)))


def paired(pairs: Sequence[tuple[bool | None, bool | None]], seed: int = 0) -> Paired | None:
    """Compare the marks of two systems, a pair a question; None if no question has both marks."""
    both = [(bool(one), bool(other)) for one, other in pairs if one is not None and other is not None]
    if not both:
        return None
    first, second = share([one for one, _ in both]), share([other for _, other in both])
    wins = sum(one and not other for one, other in both)
    losses = sum(other and not one for one, other in both)
    low, high = paired_bootstrap(wins, losses, len(both), seed=seed)
    change = (wins - losses) / len(both)
    return Paired(len(both), first, second, wins, losses, change, low, high, mcnemar_exact(wins, losses))
