"""A search in MLflow: a parent run, and one child a trial whose steps are the rungs.

MLflow is a listener: it is written to from a thread of its own, so that a server that is away or slow holds up no
trial. A run is looked up by its key before it is made, and a rung that is there is not written again, so that a search
that was killed and resumed leaves the same runs as one that was not. The truth is the study, and :meth:`finish` brings
MLflow up to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from pathlib import Path
from typing import Any, Literal, Protocol

from t2s.config import Config
from t2s.errors import T2SError
from t2s.masking import without_password
from t2s.registry import ADAPTER, register
from t2s.search.record import Trial, cost_of, read_trials
from t2s.track.files import remember_run
from t2s.track.runs import Status, Tracker, tracking_uri

log = logging.getLogger("t2s.track")

RUNG = "rung"
"""The metric that says how many rungs of a trial MLflow has."""
CLOSE_TIMEOUT_S = 60.0
"""How long :meth:`SearchTracker.finish` waits for what MLflow has not taken yet."""
FILES = ("search.json", "best.yaml", "report.html")
_STATUS: dict[str, Status] = {"failed": "FAILED", "running": "KILLED"}
"""Of a trial's run by its state; a stopped trial did what it was to do. One that runs at the end was killed."""


class Finished(Protocol):
    """What a search that came to its end left."""

    @property
    def trials(self) -> Sequence[Trial]: ...
    @property
    def best(self) -> Trial: ...


class SearchTracker:
    """Writes one search; with another ``training.report_to`` than ``mlflow`` its methods do nothing."""

    def __init__(self, config: Config, search_dir: Path) -> None:
        self._config = config
        self._tracker = Tracker(config)
        self._search_dir = search_dir
        self._runs: dict[int, str | None] = {}
        self._sent: dict[int, int] = {}
        self._ended: set[int] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="t2s-search-mlflow")
        self.version: int | None = None
        """The registry's number of the winner's adapter, after :meth:`finish`."""
        self.run_id = self._tracker.start_run(
            search_dir.name, "search", config.model_dump(mode="json"), key=str(search_dir)
        )
        remember_run(search_dir, self.run_id, tracking_uri(config))
        self._later(self._log_file, "config.yaml")

    def trial_rung(self, trial: Trial) -> None:
        """A trial has begun, or measured a rung."""
        self._later(self._bring_up, trial)

    def trial_ended(self, trial: Trial) -> None:
        """A trial finished, was stopped or failed."""
        self._later(self._bring_up, trial)

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"], result: Finished | None = None) -> None:
        """Write what is missing, the files and the end, and register the winner's adapter as challenger.

        A trial whose run is still open is settled. Waits at most :data:`CLOSE_TIMEOUT_S`.
        """
        if self.run_id is not None:
            for trial in result.trials if result else self._trials():
                self._later(self._bring_up, trial, True)
            ended = self._thread.submit(self._end, status, result)
            try:
                ended.result(CLOSE_TIMEOUT_S)
            except TooSlow:
                log.warning(
                    "MLflow at %s has not taken all of %s in %.0f s; search.json is complete",
                    without_password(tracking_uri(self._config)), self._search_dir.name, CLOSE_TIMEOUT_S,
                )  # fmt: skip
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        if self.run_id is not None:
            self._thread.submit(call, *arguments).add_done_callback(_tell)

    def _trials(self) -> list[Trial]:
        try:
            return read_trials(self._search_dir)
        except T2SError:  # it ended before the study was made
            return []

    def _bring_up(self, trial: Trial, is_last: bool = False) -> None:
        """Make what MLflow has of a trial what the study has."""
        run_id = self._run_of(trial)
        for reached in trial.rungs:
            if reached.rung > self._sent[trial.number]:
                metrics = {name: value for name, value in reached.metrics.items() if math.isfinite(value)}
                self._tracker.log_metrics(run_id, metrics | {RUNG: float(reached.rung)}, step=reached.rung)
                self._sent[trial.number] = reached.rung
        if trial.number not in self._ended and (is_last or trial.state != "running"):
            self._ended.add(trial.number)
            told = {name: getattr(trial, name)[:5000] for name in ("state", "host", "reason", "error")}
            self._tracker.set_tags(run_id, {f"t2s.{name}": text for name, text in told.items() if text})
            self._tracker.finish(run_id, _STATUS.get(trial.state, "FINISHED"))

    def _run_of(self, trial: Trial) -> str | None:
        number = trial.number
        if self._runs.get(number) is None:
            key = f"{self._search_dir}/{number}"
            name = f"trial-{number}"
            self._runs[number] = self._tracker.start_run(name, "trial", trial.setting, parent=self.run_id, key=key)
            self._sent[number] = int(self._tracker.metrics_of(self._runs[number]).get(RUNG, 0))
        return self._runs[number]

    def _end(self, status: Status, result: Finished | None) -> None:
        if result is not None:
            self._tracker.log_metrics(self.run_id, _summary(result))
            texts = {f"t2s.best_{name}": value for name, value in result.best.setting.items() if isinstance(value, str)}
            self._tracker.set_tags(self.run_id, texts)
        for name in FILES:
            self._log_file(name)
        if status == "FINISHED":
            self._register()
        self._tracker.finish(self.run_id, status)

    def _log_file(self, name: str) -> None:
        if (self._search_dir / name).is_file():
            self._tracker.log_artifact(self.run_id, self._search_dir / name)

    def _register(self) -> None:
        if not (self._search_dir / ADAPTER).is_dir():
            return
        try:
            self.version = register(self._config, self._search_dir, self.run_id).number
        except T2SError as error:
            log.warning("the winner is not registered: %s", error)


def _tell(done: Future[None]) -> None:
    """An error of our own in the thread would otherwise be heard by nobody."""
    if not done.cancelled() and (error := done.exception()):
        log.error("the search's tracking: %r", error)


def _summary(result: Finished) -> dict[str, float]:
    """The numbers of a search as a whole: the best trial's last rung and setting, and what all trials cost."""
    best = result.best
    measured = {"eval_loss": best.loss, "eval_ex": best.ex, "trial": float(best.number)}
    numbers = {name: float(value) for name, value in best.setting.items() if not isinstance(value, str)}
    told = {name: value for name, value in (measured | numbers).items() if value is not None and math.isfinite(value)}
    cost = {f"cost_{name}": value for name, value in cost_of(result.trials).items()}
    return {f"best_{name}": value for name, value in told.items()} | cost
