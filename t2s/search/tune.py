"""Ray Tune's part of a search: it starts trials, hears their rungs, and stops them as the scheduler says."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.search.book import Book, StaysHere
from t2s.search.budget import REASON, Budget
from t2s.search.finalists import Finalist, choose, sweep_trials
from t2s.search.record import Trial
from t2s.search.schedulers import RuleScheduler, build_rule
from t2s.search.searcher import NUMBER, StudySearcher

FAILURES = 2
"""Times that a trial whose process died is started again; it goes on from its last rung, if it is a slot's."""
FOLDER = "tune"
"""Name of Tune's directory in a search."""

_SETTINGS = {
    # Tune names each result and warns about what t2s does on purpose; its own files and state are not used.
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ctrl-C is a KeyboardInterrupt, as everywhere; Tune would end the search as if it had finished.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@dataclass(frozen=True)
class Running:
    """How trials run in one mode, and what becomes of the best."""

    trainable: Any
    resources: Mapping[str, float]
    at_a_time: int
    reuse: bool
    """Whether a trial's process takes the next trial; it must end within 2 s of being told."""
    board: str | None
    """Where trials are asked to stop instead of being killed."""
    free: Callable[[int], None]
    compare: Callable[[list[Trial]], list[Finalist]]
    export: Callable[[Trial, Path, dict[str, Any]], None]


class Watcher(StaysHere, tune.Callback):
    """Hears of every change on the driver: frees the slots of ended trials, and passes the change on."""

    def __init__(
        self,
        book: Book,
        tracker: Any,
        free: Callable[[int], None],
        on_change: Callable[[list[Trial]], None] | None,
        num_finalists: int,
    ) -> None:
        self._book = book
        self._tracker = tracker
        self._free = free
        self._on_change = on_change
        self._num_finalists = num_finalists

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has its process."""
        self._changed(self._tracker.trial_rung, int(trial.config[NUMBER]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has measured a rung, which the scheduler has noted."""
        self._changed(self._tracker.trial_rung, int(trial.config[NUMBER]))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended, which the searcher has noted."""
        self.ended(int(trial.config[NUMBER]))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good."""
        self.ended(int(trial.config[NUMBER]))

    def ended(self, number: int) -> None:
        """Free what a trial held; only possible finalists keep their last rung on the disk."""
        self._free(number)
        ended = [trial for trial in self._book.trials() if trial.state != "running"]
        try:
            keep = choose(ended, self._book.ladder, self._num_finalists)
        except RunError:  # none has measured anything yet
            keep = []
        sweep_trials(self._book.search_dir / "trials", {trial.number for trial in ended}, keep)
        self._changed(self._tracker.trial_ended, number)

    def _changed(self, tell: Callable[[Trial], None], number: int) -> None:
        self._book.write()
        tell(self._book.trial(number))
        if self._on_change:
            self._on_change(self._book.trials())


def run_trials(config: Config, book: Book, watcher: Watcher, running: Running, say: Callable[[str], None]) -> None:
    """Run what is left of the trials; all of them have ended in the book afterwards.

    Raises:
        T2SError: the study cannot be written, or a setting cannot be drawn.
    """
    budget = Budget(config, book)
    scheduler = RuleScheduler(build_rule(config), config.search.scheduler, book, running.board)
    left = [trial.number for trial in book.trials() if trial.state == "running"]
    searcher = StudySearcher(
        book,
        num_trials=config.search.num_trials,
        at_a_time=running.at_a_time,
        again=left,
        is_over=budget.stop_all,
        why_stopped=scheduler.why_stopped,
        error_of=scheduler.error_of,
    )
    if left or len(book.trials()) < config.search.num_trials:
        _fit(config, book, running, searcher, scheduler, budget, watcher)
    if spent := budget.spent():
        say(f"the budget ends the search: {spent}")
    for trial in book.trials():
        if trial.state == "running":
            book.end(trial.number, "stopped", reason=REASON if spent else "ended")
            watcher.ended(trial.number)


def _fit(
    config: Config,
    book: Book,
    running: Running,
    searcher: StudySearcher,
    scheduler: RuleScheduler,
    budget: Budget,
    watcher: Watcher,
) -> None:
    # A failed trial is told by t2s in one line, with its reason; Tune would show the whole traceback.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    shutil.rmtree(book.search_dir / FOLDER, ignore_errors=True)  # of a search that is resumed: the study is the state
    tuner = tune.Tuner(
        tune.with_resources(running.trainable, dict(running.resources)),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=searcher,
            scheduler=scheduler,
            reuse_actors=running.reuse,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=FOLDER,
            storage_path=str(book.search_dir),
            callbacks=[watcher],
            stop=budget,
            failure_config=tune.FailureConfig(max_failures=FAILURES),
            verbose=0,
            log_to_file=True,
        ),
    )
    try:
        tuner.fit()
    except (KeyboardInterrupt, T2SError):
        raise
    except Exception as error:  # fault boundary: Tune wraps what its searcher and callbacks raise
        if book.fault is not None:
            raise book.fault from error
        raise


def _name(trial: Any) -> str:
    return f"trial-{trial.config[NUMBER]}"
