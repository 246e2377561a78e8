"""When a search is over before all of its trials: ``search.time_budget_s`` and ``search.max_examples``.

No new trial begins then, and running ones are ended at once with the rungs that they reached. The time is this
process's: a resumed search has it anew.
"""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Stopper

from t2s.config import Config
from t2s.search.book import Book
from t2s.search.record import cost_of

REASON = "budget"


class Budget(Stopper):
    """Tune asks it many times a second whether to end everything."""

    def __init__(self, config: Config, book: Book) -> None:
        self._time_s = config.search.time_budget_s
        self._examples = config.search.max_examples
        self._book = book
        self._began = book.opened

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """Whether the budget is spent, so far as rungs have told it."""
        return bool(self.spent())

    def spent(self) -> str:
        """What has run out, for a person; nothing if all is left."""
        if self._time_s is not None and time.monotonic() - self._began >= self._time_s:
            return f"search.time_budget_s={self._time_s:g} is over"
        if self._examples is not None and cost_of(self._book.trials())["examples"] >= self._examples:
            return f"search.max_examples={self._examples} are trained"
        return ""
