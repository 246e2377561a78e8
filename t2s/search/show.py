"""Trials in words: the cells that the terminal's table, the plain lines and the report share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from t2s.config import Config
from t2s.search.record import Trial
from t2s.search.setting import NAMES, Setting, Value

SHORT = {
    "alpha_over_r": "alpha/r", "learning_rate": "lr", "target_modules": "layers", "warmup_ratio": "warm-up",
    "weight_decay": "decay", "global_batch": "batch", "lr_scheduler": "schedule",
}  # fmt: skip
"""Names as a column's head, where they are not the setting's own."""
_LONGEST = 160
"""Characters of a reason; all of it stands in ``search.json``."""
MEASURED = ("rung", "loss", "EX", "state", "examples", "time")
"""Heads of the columns after the setting's."""


def varied_names(trials: Sequence[Trial]) -> list[str]:
    """What the trials' settings name, in the usual order."""
    return [name for name in NAMES if any(name in trial.setting for trial in trials)]


def heads(names: Sequence[str]) -> list[str]:
    """Heads of the columns of a table of trials."""
    return ["trial", *(SHORT.get(name, name) for name in names), *MEASURED]


def cells(trial: Trial, names: Sequence[str], rungs: int, now: float, is_brief: bool = False) -> list[str]:
    """A trial as a row under :func:`heads`; ``rungs`` is how many there are, ``now`` in seconds since 1970.

    ``is_brief`` leaves out why it ended, which may be long.
    """
    setting = [value_text(name, trial.setting[name]) if name in trial.setting else "–" for name in names]
    took = duration((trial.ended or now) - trial.started) if trial.started else "–"
    return [
        str(trial.number), *setting, f"{trial.rung}/{rungs}", number_text(trial.loss, ".4f"), percent(trial.ex),
        trial.state if is_brief else state_text(trial), f"{trial.examples:,}", took,
    ]  # fmt: skip


def state_text(trial: Trial) -> str:
    """The state, and who or what brought it about."""
    why = trial.error or (trial.reason if trial.state == "stopped" else "")
    return f"{trial.state}: {shorten(why, _LONGEST, placeholder=' …')}" if why else trial.state


def line(trial: Trial, rungs: int, is_measured: bool = True) -> str:
    """What is new of a trial on one line: its last measurement (unless that was told), and how it ended."""
    if not is_measured:
        return f"trial {trial.number}  {state_text(trial)}"
    measured = [f"loss {trial.loss:.4f}"] if trial.loss is not None else []
    measured += [f"EX {percent(trial.ex)}"] if trial.ex is not None else []
    parts = [f"trial {trial.number}", setting_text(trial.setting), f"rung {trial.rung}/{rungs}", *measured]
    return "  ".join([*parts, *([] if trial.state == "running" else [state_text(trial)])])


def setting_text(setting: Setting) -> str:
    """``r 16  alpha/r 2  lr 1.00e-03``."""
    return "  ".join(f"{SHORT.get(name, name)} {value_text(name, setting[name])}" for name in NAMES if name in setting)


def value_text(name: str, value: Value) -> str:
    """One value of a setting, short."""
    if isinstance(value, str):
        return value
    return f"{value:.2e}" if name == "learning_rate" else f"{value:.3g}" if isinstance(value, float) else str(value)


def number_text(value: float | None, form: str) -> str:
    """A number, or a dash."""
    return "–" if value is None else format(value, form)


def percent(value: float | None) -> str:
    """A share in percent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}%"


def interval(accuracy: float, low: float, high: float) -> str:
    """``61.2% (52.1 to 69.5)``."""
    return f"{100 * accuracy:.1f}% ({100 * low:.1f} to {100 * high:.1f})"


def rungs_text(ends: Sequence[int]) -> str:
    """Where rungs end: ``40, 128 and 384``."""
    return " and ".join(filter(None, [", ".join(map(str, ends[:-1])), str(ends[-1])]))


def duration(seconds: float) -> str:
    """``0:42``, ``12:05`` or ``1:02:03``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def goal_texts(config: Config, trials: Sequence[Trial]) -> list[str]:
    """What the search minimises, in words: quality is by answers if any trial was asked questions."""
    asked = any(trial.ex is not None for trial in trials)
    words = {
        "quality": "share of wrong answers" if asked else "validation loss",
        "adapter_size": "adapter parameters",
        "latency": "seconds a question",
    }
    return [words[goal] for goal in config.search.objectives]


def accuracy_text(accuracies: Sequence[Mapping[str, float]]) -> str:
    """Execution accuracy with its interval; of several trainings the mean, and each."""
    if len(accuracies) <= 1:
        return interval(*(accuracies[0][f"eval_ex{end}"] for end in ("", "_low", "_high"))) if accuracies else "–"
    found = [each["eval_ex"] for each in accuracies]
    return f"{percent(sum(found) / len(found))} (mean of {', '.join(map(percent, found))})"


def points(against: Mapping[str, Any]) -> str:
    """A paired difference in percentage points, with its interval."""
    # Adding zero takes the sign from a negative one.
    change, low, high = (round(100 * against[name], 1) + 0.0 for name in ("difference", "low", "high"))
    return f"{change:+.1f} ({low:+.1f} to {high:+.1f})"


def change_text(against: Mapping[str, Any]) -> str:
    """A paired comparison as :meth:`t2s.evaluate.paired.Paired.to_dict` writes it, in words."""
    return (
        f"{points(against)} points of execution accuracy on {against['n']} questions (paired bootstrap), "
        f"p = {against['p_value']:.3g} (McNemar, exact)"
    )
