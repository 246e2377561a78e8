"""Ray Tune's searcher on our own study.

Ray's OptunaSearch tells a stopped trial's value as a complete one, leaves a trial with NaN running for ever, and draws
the same points when a study is taken up again. This one tells stopped trials as pruned with what they measured at each
rung, failed ones as failed, and gives back trials that a killed process had begun under their own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import Searcher

from t2s.search.book import Book

NUMBER, SETTING = "number", "setting"
"""What Tune's configuration of a trial holds."""


class StudySearcher(Searcher):
    """Proposes trials until ``num_trials`` were begun or ``is_over()``, at most ``at_a_time`` together.

    ``again`` are numbers of trials to go on with first. ``why_stopped(number)`` names who stopped a trial, and
    ``error_of(number)`` what ended one that raised.
    """

    def __init__(
        self,
        book: Book,
        num_trials: int,
        at_a_time: int,
        again: list[int],
        is_over: Callable[[], bool],
        why_stopped: Callable[[int], str],
        error_of: Callable[[int], str],
    ) -> None:
        super().__init__(metric="training_iteration", mode="max")  # what every result has
        self._book = book
        self._num_trials = num_trials
        self._at_a_time = at_a_time
        self._again = list(again)
        self._is_over = is_over
        self._why_stopped = why_stopped
        self._error_of = error_of
        self._live: dict[str, int] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Tune's own space is empty: the study's is drawn from."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, None for not now, or that there are no more."""
        if len(self._live) >= self._at_a_time:
            return None
        if self._again:
            trial = self._book.again(self._again.pop(0))
        elif len(self._book.trials()) >= self._num_trials or self._is_over():
            return Searcher.FINISHED
        else:
            trial = self._book.ask()
        self._live[trial_id] = trial.number
        return {NUMBER: trial.number, SETTING: trial.setting}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note a rung."""
        note_rung(self._book, self._live[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """End a trial: Tune calls this once for each, however it ended."""
        number = self._live.pop(trial_id)
        if result:
            note_rung(self._book, number, result)
        found = self._book.trial(number)
        if error or (result or {}).get("failed"):
            why = (result or {}).get("error") or self._error_of(number)
            diverged_at = 0 if error else int((result or {}).get("rung", 0))
            self._book.end(number, "failed", error=why, diverged_at=diverged_at)
        elif found.rung >= self._book.ladder.rungs:
            self._book.end(number, "finished")
        elif reason := self._why_stopped(number):
            self._book.end(number, "stopped", reason=reason)
        else:
            self._book.end(number, "failed", error=f"ended after rung {found.rung} of {self._book.ladder.rungs}")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""


def rung_of(result: Mapping[str, Any]) -> int:
    """The rung of a result; a trial in a process of its own reports one rung after the other."""
    return int(result.get("rung", result["training_iteration"]))


def note_rung(book: Book, number: int, result: Mapping[str, Any]) -> None:
    """Write a result of Tune's into the study; one whose ranking metric is no number is none, and fails its trial."""
    if result.get("failed") or "eval_loss" not in result:
        return
    metrics = {name: float(result[name]) for name in MEASURED if isinstance(result.get(name), int | float)}
    step = int(result.get("step", 0))
    metrics.setdefault("examples", float(step * book.batch_of(number)))
    book.rung(number, rung_of(result), step, metrics, str(result.get("host", "")))


MEASURED = (
    "eval_loss", "eval_ex", "eval_ex_low", "eval_ex_high", "eval_ex_n", "train_loss", "examples", "cpu_s", "wall_s",
    "adapter_parameters", "latency_s", "waited_s",
)  # fmt: skip
"""What of a result is kept. ``waited_s`` is how long a slot stood still for Tune's decisions so far."""
