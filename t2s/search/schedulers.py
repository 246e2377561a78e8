"""Who goes on at a rung: ASHA, Hyperband, median stopping, or everybody.

A rule is a function of what all trials have measured so far, so that a resumed search decides as if it had never been
ended. Trials are only compared on the same rung, where the objective is the same for all. What waits to be
decided at the same rung on the same host is known to the rule: without that, the first of several trials that arrive
together would always go on.

ASHA: Li et al. 2018, arXiv:1810.05934, as Ray Tune stops (it never pauses). Hyperband: Li et al. 2018, JMLR 18(185),
asynchronous, a trial's bracket follows from its number. Median: Golovin et al. 2017 (Vizier).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from t2s.config import Config
from t2s.search.board import ask_to_stop
from t2s.search.book import Book
from t2s.search.searcher import NUMBER, note_rung, rung_of

Measured = Mapping[int, Mapping[int, float]]
"""Objectives (lower is better) by trial number and rung."""
MIN_OTHERS = 3
"""Trials that median stopping wants to see first."""


class Rule(Protocol):
    """Whether a trial is stopped at a rung."""

    def stops(self, number: int, rung: int, measured: Measured) -> bool:
        """``measured`` holds this trial's own objective at ``rung`` too."""
        ...


@dataclass(frozen=True)
class Asha:
    """At each milestone the best 1 / ``reduction`` of those that have come so far go on."""

    rungs: int
    reduction: int
    bracket: int = 0
    spacing: str = "even"
    """As ``search.rung_spacing``: whether rungs are equally long, or grow by ``reduction`` themselves."""

    def milestones(self) -> list[int]:
        """Rungs that compare, below the last: 1, reduction, reduction² ..., or each; a later bracket begins later."""
        if self.spacing == "geometric":
            return list(range(1 + self.bracket, self.rungs))
        first = self.reduction**self.bracket
        count = math.floor(math.log(max(1, self.rungs / first), self.reduction) + 1e-9) + 1
        return [rung for k in range(count) if (rung := first * self.reduction**k) < self.rungs]

    def stops(self, number: int, rung: int, measured: Measured) -> bool:
        """By the percentile of the others, as Ray's AsyncHyperBandScheduler has it."""
        others = [values[rung] for other, values in measured.items() if other != number and rung in values]
        if rung not in self.milestones() or not others:
            return False
        return measured[number][rung] > _percentile(others, 1 / self.reduction)


@dataclass(frozen=True)
class Hyperband:
    """ASHA in several brackets, of which later ones stop nobody early; each compares its own trials."""

    rungs: int
    reduction: int
    spacing: str = "even"

    def bracket(self, number: int) -> int:
        """Each bracket gets about ``reduction`` times the trials of the next one."""
        is_even = self.spacing == "even"
        brackets = math.floor(math.log(self.rungs, self.reduction) + 1e-9) + 1 if is_even else self.rungs
        for bracket in reversed(range(1, brackets)):
            if number % self.reduction**bracket == 0:
                return bracket
        return 0

    def stops(self, number: int, rung: int, measured: Measured) -> bool:
        """As ASHA in its bracket."""
        mine = self.bracket(number)
        own = {other: values for other, values in measured.items() if self.bracket(other) == mine}
        return Asha(self.rungs, self.reduction, mine, self.spacing).stops(number, rung, own)


@dataclass(frozen=True)
class Median:
    """Stops what is worse than the median of the others at this rung."""

    rungs: int

    def stops(self, number: int, rung: int, measured: Measured) -> bool:
        """Never at the last rung, and not before :data:`MIN_OTHERS` others were there."""
        others = [values[rung] for other, values in measured.items() if other != number and rung in values]
        enough = rung < self.rungs and len(others) >= MIN_OTHERS
        return enough and measured[number][rung] > statistics.median(others)


def build_rule(config: Config) -> Rule | None:
    """The rule of ``search.scheduler``; None stops nobody."""
    search = config.search
    rules: dict[str, Rule] = {
        "asha": Asha(search.rungs, search.reduction_factor, spacing=search.rung_spacing),
        "hyperband": Hyperband(search.rungs, search.reduction_factor, search.rung_spacing),
        "median": Median(search.rungs),
    }
    return rules.get(search.scheduler)


class RuleScheduler(FIFOScheduler):
    """Ray Tune's scheduler that decides by a rule and remembers whom it stopped.

    With a ``board`` (:mod:`t2s.search.board`) a trial is asked to stop instead of killed.
    """

    def __init__(self, rule: Rule | None, name: str, book: Book, board: str | None = None) -> None:
        super().__init__()
        self._rule = rule
        self._name = name
        self._book = book
        self._board = board
        self._arrived: dict[int, dict[int, float]] = {}
        self._stopped: dict[int, str] = {}
        self._errors: dict[int, str] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Note the rung, then decide."""
        number = int(trial.config[NUMBER])
        note_rung(self._book, number, result)
        if self._rule is None or result.get("failed") or "eval_loss" not in result:
            return str(TrialScheduler.CONTINUE)
        rung = rung_of(result)
        for other, value in result.get("peers") or ():
            self._arrived.setdefault(int(other), {})[rung] = value
        if not self._rule.stops(number, rung, self._measured()):
            return str(TrialScheduler.CONTINUE)
        self._stopped[number] = self._name
        if self._board is None:
            return str(TrialScheduler.STOP)
        ask_to_stop(self._board, trial.trial_id)
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Remember why, for the study: Tune tells the searcher only that."""
        self._errors[int(trial.config[NUMBER])] = _last_line(trial)

    def why_stopped(self, number: int) -> str:
        """The scheduler's name if it stopped this trial, else nothing."""
        return self._stopped.get(number, "")

    def error_of(self, number: int) -> str:
        """What ended a trial that raised."""
        return self._errors.get(number, "the trial's process died")

    def _measured(self) -> Measured:
        ladder = self._book.ladder
        known = {
            trial.number: {each.rung: ladder.objective(each.rung, each.metrics) for each in trial.rungs}
            for trial in self._book.trials()
        }
        return {number: self._arrived.get(number, {}) | known.get(number, {}) for number in {*known, *self._arrived}}


def _percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` lie below, interpolated linearly as numpy does."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _last_line(trial: Any) -> str:
    error = trial.get_error()
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    return lines[-1] if lines else "the trial's process died"
