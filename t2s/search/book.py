"""The one writer of a search's study: asks for settings, notes rungs, ends trials, and keeps what was noted.

Everything goes through trial numbers, so that a trial that another process began is written like one's own. All
methods may be repeated with what they already know: a rung that is reported twice stands there once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import ConfigError, SetupError, T2SError
from t2s.search.ladder import PENALTY, Ladder
from t2s.search.record import RungRecord, State, Trial, open_storage, trial_of, trials_of, write_summary
from t2s.search.sampler import build_sampler
from t2s.search.space import Setting, define_space, enqueue

READY = "ready"
"""The study's attribute that is written last: a study without it was never begun."""
REDRAWS = 5
"""Times that a setting which was tried before is drawn again."""
RANDOM_REDRAWS = 20
"""Times that it is then drawn by chance, because a sampler that is sure of itself repeats itself; then it is tried."""


class StaysHere:
    """An object of the driver's: Tune pickles all that it is given, for a restart that t2s does without it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Nothing of it is written."""
        return (object, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> StaysHere:
        """Itself."""
        return self


class Book(StaysHere):
    """A search's trials in memory and in ``study.db``; ``ladder`` says what a rung's objective is."""

    def __init__(self, search_dir: Path, config: Config, ladder: Ladder, study: Any) -> None:
        self.search_dir = search_dir
        self.ladder = ladder
        self.opened = time.monotonic()
        """When this process began to work on the search."""
        self.fault: T2SError | None = None
        """What kept a trial from being written; Tune only tells that something was raised."""
        training = config.training
        self._batch = training.batch_size * training.gradient_accumulation_steps * training.max_workers
        self._objectives = list(config.search.objectives)
        self._config = config
        self._space = define_space(config)
        self._redraws = REDRAWS if config.search.sampler in ("tpe", "random") else 0  # others keep notes on each trial
        self._study = study
        self._storage = study._storage
        self._trials = {trial.number: trial for trial in trials_of(study.get_trials(deepcopy=False))}

    @classmethod
    def create(cls, search_dir: Path, config: Config, ladder: Ladder, about: Mapping[str, Any]) -> Book:
        """A new study, named as its directory; ``about`` is what a resumed search is held against.

        Raises:
            ConfigError: a study of this name is there.
        """
        import optuna

        storage = open_storage(search_dir)
        try:
            study = optuna.create_study(
                study_name=search_dir.name,
                storage=storage,
                sampler=build_sampler(config),
                directions=["minimize"] * len(config.search.objectives),
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise ConfigError(
                f"{search_dir}: the study name {search_dir.name} is in use: choose another name"
            ) from None
        enqueue(study, config)
        for key, value in about.items():
            study.set_user_attr(key, value)
        study.set_user_attr(READY, True)
        return cls(search_dir, config, ladder, study)

    @classmethod
    def open(cls, search_dir: Path, config: Config, ladder: Ladder, about: Mapping[str, Any]) -> Book:
        """A study that was begun, or a new one if its process was killed before that.

        The sampler gets a seed of its own, or it would draw the same points again.
        """
        import optuna

        storage = open_storage(search_dir)
        studies = optuna.get_all_study_summaries(storage)
        for summary in studies:
            if READY not in summary.user_attrs:
                optuna.delete_study(study_name=summary.study_name, storage=storage)
        if not any(READY in summary.user_attrs for summary in studies):
            return cls.create(search_dir, config, ladder, about)
        study = optuna.load_study(study_name=None, storage=storage)
        study.sampler = build_sampler(config, (config.seed + 7919 * len(study.trials)) % 2**32)
        return cls(search_dir, config, ladder, study)

    @property
    def about(self) -> dict[str, Any]:
        """What was noted of the search as a whole."""
        return dict(self._study.user_attrs)

    def note(self, key: str, value: Any) -> None:
        """Note something of the search as a whole."""
        with self._writing():
            self._study.set_user_attr(key, value)

    def trials(self) -> list[Trial]:
        """All trials that were begun, by number."""
        return [self._trials[number] for number in sorted(self._trials)]

    def trial(self, number: int) -> Trial:
        """One of them."""
        return self._trials[number]

    def batch_of(self, number: int) -> int:
        """Examples in one optimizer step of a trial."""
        return int(self._trials[number].setting.get("global_batch", self._batch))

    def pareto(self) -> list[int]:
        """With several objectives: the finished trials that no other one beats in all of them."""
        return [each.number + 1 for each in self._study.best_trials] if len(self._objectives) > 1 else []

    # -- what a search does to its trials ----------------------------------------------------------------------------

    def ask(self) -> Trial:
        """Begin a trial with the next setting that Optuna proposes."""
        with self._writing():
            self._avoid_repeating()
            asked = self._study.ask()
            return self._begin(asked)

    def again(self, number: int) -> Trial:
        """A trial that was running when its process was killed; its setting is completed if it was just being drawn."""
        import optuna

        with self._writing():
            if not self._trials[number].setting:
                self._begin(optuna.Trial(self._study, self._id(number)))
        return self._trials[number]

    def rung(self, number: int, rung: int, step: int, metrics: Mapping[str, float], host: str) -> None:
        """Note a measurement; one that is known, or that comes before a known one, changes nothing."""
        before = self._trials[number]
        if rung <= before.rung or before.state != "running":
            return
        reached = RungRecord(rung, step, dict(metrics), time.time())
        trial = replace(before, rungs=[*before.rungs, reached], host=host)
        with self._writing():
            identity = self._id(number)
            if len(self._objectives) == 1:  # Optuna takes intermediate values of one objective only
                value = self.ladder.objective(rung, metrics)
                self._storage.set_trial_intermediate_value(identity, rung, value)
            self._storage.set_trial_user_attr(identity, "host", host)
            self._storage.set_trial_user_attr(identity, "rungs", [vars(each) for each in trial.rungs])
        self._trials[number] = trial

    def end(self, number: int, state: State, error: str = "", reason: str = "", diverged_at: int = 0) -> None:
        """End a trial; one that has ended stays as it is.

        A setting whose loss was no number on the way to the rung ``diverged_at`` is told to Optuna as the worst of
        that rung: its samplers learn nothing from failed trials, and would propose such settings again.
        """
        import optuna

        trial = self._trials[number]
        if trial.state != "running":
            return
        ended = time.time()
        states = optuna.trial.TrialState
        told = {"finished": states.COMPLETE, "stopped": states.PRUNED}.get(state, states.FAIL)
        with self._writing():
            for key, value in (("ended", ended), ("error", error), ("reason", reason), ("state", state)):
                self._storage.set_trial_user_attr(self._id(number), key, value)
            if diverged_at and len(self._objectives) == 1:
                self._storage.set_trial_intermediate_value(self._id(number), diverged_at, PENALTY)
                told = states.PRUNED
            values = self._values(trial) if state == "finished" else None
            self._study.tell(number - 1, values=values, state=told)
        self._trials[number] = replace(trial, state=state, ended=ended, error=error, reason=reason)

    def write(self, **more: Any) -> None:
        """Write ``search.json``."""
        with self._writing():
            write_summary(self.search_dir, self.trials(), **more)

    # -- how ---------------------------------------------------------------------------------------------------------

    def _begin(self, asked: Any) -> Trial:
        setting: Setting = self._space(asked)
        asked.set_user_attr("started", time.time())
        asked.set_user_attr("setting", setting)
        trial = trial_of(self._storage.get_trial(asked._trial_id))
        self._trials[trial.number] = trial
        return trial

    def _avoid_repeating(self) -> None:
        """If the sampler is about to repeat a setting, have it draw again, beside the study: numbers have no holes."""
        import optuna

        frozen = self._study.get_trials(deepcopy=False)
        known = [trial.setting for trial in self._trials.values()]
        if not self._redraws or any(each.state.name == "WAITING" for each in frozen) or _is_continuous(frozen):
            return
        # Its own sampler: one that has seen two studies refuses to draw for either.
        sampler = build_sampler(self._config, (self._config.seed + len(frozen)) % 2**32)
        beside = optuna.create_study(directions=self._study.directions, sampler=sampler)
        beside.add_trials(frozen)
        by_chance = optuna.samplers.RandomSampler(seed=len(frozen))
        for attempt in range(self._redraws + RANDOM_REDRAWS):
            if attempt == self._redraws:
                beside.sampler = by_chance
            drawn = beside.ask()
            if self._space(drawn) not in known:
                break
            beside.tell(drawn, state=optuna.trial.TrialState.FAIL)
        self._study.enqueue_trial(drawn.params)

    def _values(self, trial: Trial) -> list[float]:
        assert trial.last is not None, "a trial finishes by reaching the last rung"
        metrics = trial.last.metrics
        of: dict[str, Callable[[], float]] = {
            "quality": lambda: self.ladder.objective(trial.rung, metrics),
            "adapter_size": lambda: metrics["adapter_parameters"],
            "latency": lambda: metrics["latency_s"],
        }
        return [of[name]() for name in self._objectives]

    def _id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number - 1))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A database that cannot be written ends the search, with what to do about it."""
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError) as error:
            told = error.__cause__ or error
            first = (str(told).splitlines() or [type(told).__name__])[0]
            self.fault = SetupError(f"{self.search_dir}: cannot write the study: {first}: make room, then --resume it")
            raise self.fault from error
        except T2SError as error:
            self.fault = error
            raise


def _is_continuous(frozen: list[Any]) -> bool:
    """Whether the settings so far have a number that is never drawn twice."""
    return any(
        type(distribution).__name__ == "FloatDistribution" and distribution.step is None and not distribution.single()
        for each in frozen
        for distribution in each.distributions.values()
    )
