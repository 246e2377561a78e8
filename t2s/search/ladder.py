"""The ladder of a search: which rung measures what, and the one number by which trials are compared there.

Validation loss is cheap and tells bad settings early; execution accuracy is what users want. So the first rungs rank
by loss and the last ``search.ex_rungs`` by execution accuracy. The two scales never meet: a scheduler compares trials
on the same rung only, and what a stopped trial reached is told to Optuna as an intermediate value, not as a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from t2s.config import Config

PENALTY = 1e6
"""The objective of a measurement that is no number: finite, and worse than any real one."""
LOSS = "eval_loss"
ACCURACY = "eval_ex"


@dataclass(frozen=True)
class Ladder:
    """``rungs`` measurements of each trial on its way; the last ``ex_rungs`` of them ask questions."""

    rungs: int
    ex_rungs: int

    def __post_init__(self) -> None:
        assert self.rungs >= 1 and 0 <= self.ex_rungs <= self.rungs, "the configuration refuses other ladders"

    @classmethod
    def of(cls, config: Config, has_rows: bool) -> Ladder:
        """The ladder of ``config.search``; without rows to execute on every rung measures the loss."""
        return cls(config.search.rungs, config.search.ex_rungs if has_rows else 0)

    def measures_ex(self, rung: int) -> bool:
        """Whether ``rung`` (1 to ``rungs``) asks questions and ranks by their answers."""
        return rung > self.rungs - self.ex_rungs

    def metric(self, rung: int) -> str:
        """The name of the metric that ranks ``rung``."""
        return ACCURACY if self.measures_ex(rung) else LOSS

    def objective(self, rung: int, metrics: Mapping[str, float]) -> float:
        """Lower is better: the loss, or the share of wrong answers; :data:`PENALTY` for what is no finite number."""
        value = metrics.get(self.metric(rung), math.nan)
        if not math.isfinite(value):
            return PENALTY
        return min(PENALTY, 1.0 - value if self.measures_ex(rung) else value)

    def failed(self, rung: int, metrics: Mapping[str, float]) -> bool:
        """Whether the measurement that ranks ``rung`` is missing or no finite number."""
        return self.objective(rung, metrics) == PENALTY
