"""The trials of a search as data: the study in ``study.db`` is the truth, ``search.json`` its copy for people.

A trial's number is its number in the study plus one. What Optuna has no place for stands in the trial's user
attributes, so that one file holds all, and optuna-dashboard opens it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2s.errors import ConfigError, RunError

STUDY = "study.db"
"""Name of Optuna's SQLite file in a search's directory."""
SUMMARY = "search.json"
State = Literal["running", "finished", "stopped", "failed"]
# ``finished`` reached the last rung; ``stopped`` was ended before it, by the scheduler or the budget.
STATES: dict[str, State] = {"RUNNING": "running", "COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "failed"}


@dataclass(frozen=True)
class RungRecord:
    """What a trial measured at one rung: after ``step`` optimizer steps, at ``time`` (seconds since 1970)."""

    rung: int
    step: int
    metrics: dict[str, float]
    time: float


@dataclass(frozen=True)
class Trial:
    """One setting tried, as far as it came."""

    number: int
    """1 for the first; the first is the configured setting."""
    setting: dict[str, float | int | str]
    state: State
    rungs: list[RungRecord] = field(default_factory=list)
    host: str = ""
    """Where it trained last."""
    started: float = 0.0
    """Seconds since 1970."""
    ended: float | None = None
    error: str = ""
    """Why it failed."""
    reason: str = ""
    """Who stopped it: the scheduler's name, or ``budget``."""

    @property
    def last(self) -> RungRecord | None:
        """The last rung that it reached."""
        return self.rungs[-1] if self.rungs else None

    @property
    def rung(self) -> int:
        """Rungs reached."""
        return self.rungs[-1].rung if self.rungs else 0

    @property
    def loss(self) -> float | None:
        """The last validation loss."""
        return self._newest("eval_loss")

    @property
    def ex(self) -> float | None:
        """The last execution accuracy on the ladder's slice, if it came that far."""
        return self._newest("eval_ex")

    @property
    def wall_s(self) -> float:
        """Seconds of training and measuring; in a slot, its share of them."""
        return self._newest("wall_s") or 0.0

    @property
    def cpu_s(self) -> float:
        """CPU seconds likewise; of the first worker, if there are several."""
        return self._newest("cpu_s") or 0.0

    @property
    def examples(self) -> int:
        """Examples trained."""
        return int(self._newest("examples") or 0)

    def _newest(self, name: str) -> float | None:
        return next((r.metrics[name] for r in reversed(self.rungs) if name in r.metrics), None)


def open_storage(search_dir: Path) -> Any:
    """Optuna's storage in ``search_dir``; a second process that reads makes a writer wait, not fail."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{search_dir / STUDY}"
    return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def read_trials(search_dir: Path) -> list[Trial]:
    """All trials of a search, by number; also while it runs.

    Raises:
        ConfigError: there is no search in ``search_dir``.
        RunError: its study cannot be read.
    """
    import optuna

    if not (search_dir / STUDY).is_file():
        raise ConfigError(f"{search_dir} holds no search ({STUDY} is missing)")
    try:
        study = optuna.load_study(study_name=None, storage=open_storage(search_dir))
    except Exception as error:  # fault boundary: a damaged database raises many kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{search_dir / STUDY}: cannot be read: {first}") from error
    return trials_of(study.get_trials(deepcopy=False))


def trials_of(frozen: Iterable[Any]) -> list[Trial]:
    """Optuna's trials as ours; those that only wait to be tried are none yet."""
    return [trial_of(each) for each in frozen if each.state.name in STATES]


def trial_of(frozen: Any) -> Trial:
    """One of Optuna's trials as ours."""
    attributes: Mapping[str, Any] = frozen.user_attrs
    began = frozen.datetime_start
    return Trial(
        number=frozen.number + 1,
        setting=dict(attributes.get("setting", {})),
        state=attributes.get("state", STATES[frozen.state.name]) if frozen.state.is_finished() else "running",
        rungs=[RungRecord(**each) for each in attributes.get("rungs", [])],
        host=attributes.get("host", ""),
        started=attributes.get("started") or (began.timestamp() if began else 0.0),
        ended=attributes.get("ended"),
        error=attributes.get("error", ""),
        reason=attributes.get("reason", ""),
    )


def cost_of(trials: Sequence[Trial]) -> dict[str, float]:
    """What all trials took together: wall and CPU seconds, and examples."""
    return {
        "wall_s": sum(trial.wall_s for trial in trials),
        "cpu_s": sum(trial.cpu_s for trial in trials),
        "examples": float(sum(trial.examples for trial in trials)),
    }


def write_summary(search_dir: Path, trials: Sequence[Trial], **more: Any) -> None:
    """Write ``search.json``, aside and renamed, so that a reader never sees half of it."""
    whole = {**more, "cost": cost_of(trials), "written": time.time()}
    whole["trials"] = [
        dataclasses.asdict(t)
        | {"loss": t.loss, "ex": t.ex, "wall_s": t.wall_s, "cpu_s": t.cpu_s, "examples": t.examples}
        for t in trials
    ]
    aside = search_dir / f"{SUMMARY}.tmp"
    aside.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    aside.replace(search_dir / SUMMARY)
