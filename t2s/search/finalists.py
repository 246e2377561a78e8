"""The end of a search: the best trials are asked far more questions, and the best of them is kept.

A rung's slice of questions ranks dozens of trials cheaply and so, by chance, a little wrongly; a few finalists on all
of the validation split decide. The configured setting is among those compared if it came as far, so that a person sees
what the search has gained, with an interval.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import RunError
from t2s.evaluate.paired import paired
from t2s.search.ladder import Ladder
from t2s.search.record import Trial
from t2s.search.setting import trial_config
from t2s.train.validation import Accuracy, choose_questions

DEFAULT = 1
"""The number of the configured setting's trial."""
_SEED = 1_000_000
"""A finalist's further trainings have the numbers ``number + seed * _SEED`` on the hosts."""

Verdicts = list[bool | None]
"""Whether each question was answered right; None is one whose gold query cannot be executed."""


@dataclass(frozen=True)
class Finalist:
    """A trial that was compared at the end."""

    number: int
    loss: float
    accuracies: list[dict[str, float]] = field(default_factory=list)
    """Execution accuracy with its 95% interval, of each training of this setting; empty without rows."""
    against_default: dict[str, Any] | None = None
    """Paired with the configured setting's answers to the same questions."""

    @property
    def ex(self) -> float | None:
        """The mean over its trainings."""
        found = [each["eval_ex"] for each in self.accuracies]
        return sum(found) / len(found) if found else None

    def to_dict(self) -> dict[str, Any]:
        """For ``search.json``."""
        return asdict(self) | {"ex": self.ex}


def choose(trials: Sequence[Trial], ladder: Ladder, count: int) -> list[int]:
    """The best ``count`` trials of the furthest rung that any has reached, and the default if it came as far.

    Raises:
        RunError: no trial has measured anything.
    """
    measured = [trial for trial in trials if trial.rungs and trial.state != "failed"]
    if not measured:
        why = next((f"trial {t.number}: {t.error}" for t in trials if t.error), "no trial has measured anything")
        raise RunError(f"search: no trial finished: {why}")
    furthest = max(trial.rung for trial in measured)
    there = sorted((trial for trial in measured if trial.rung == furthest), key=lambda trial: _rank(trial, ladder))
    chosen = [trial.number for trial in there[:count]]
    return chosen + [trial.number for trial in there if trial.number == DEFAULT and DEFAULT not in chosen]


def _rank(trial: Trial, ladder: Ladder) -> tuple[float, float, int]:
    """Of trials on the same rung: by its objective, then by loss, then the earlier one."""
    assert trial.last is not None, "only trials that have measured something are ranked"
    loss = float("inf") if trial.loss is None else trial.loss
    return ladder.objective(trial.rung, trial.last.metrics), loss, trial.number


def winner(finalists: Sequence[Finalist]) -> Finalist:
    """The highest mean accuracy, or without rows the lowest loss; of equals the lower loss."""
    return min(finalists, key=lambda each: (-(each.ex or 0.0), each.loss, each.number))


def final_questions(config: Config, val: Sequence[Any]) -> list[Any]:
    """``search.final_samples`` validation questions that can be executed, with the split's share of each category."""
    there = sum(example.source is not None for example in val)
    count = min(there, config.search.final_samples or there)
    asking = config.training.model_copy(update={"eval_ex_samples": count})
    return choose_questions(config.model_copy(update={"training": asking}), val) if count else []


def compare(verdicts: dict[int, list[Verdicts]], losses: dict[int, float]) -> list[Finalist]:
    """Finalists from their answers: of each number, those of its own adapter first, then of its further trainings."""
    default = verdicts.get(DEFAULT)
    found = []
    for number, trainings in verdicts.items():
        finalist = Finalist(number, losses[number], [Accuracy.of(each).metrics() for each in trainings if each])
        if default and default[0] and number != DEFAULT:
            pair = paired(list(zip(trainings[0], default[0], strict=True)))
            finalist = replace(finalist, against_default=pair.to_dict() if pair else None)
        found.append(finalist)
    return sorted(found, key=lambda each: (-(each.ex or 0.0), each.loss, each.number))


# -- in slots ------------------------------------------------------------------------------------------------------


def ask_in_slots(pool: Any, config: Config, trials: Sequence[Trial], num_examples: int, questions: Any) -> Any:
    """The verdicts of each of ``trials``, and of its further trainings with other seeds."""
    import ray

    settings = {trial.number: trial.setting for trial in trials}
    shorts = {number: trial_config(config, setting, num_examples) for number, setting in settings.items()}
    for seed in range(1, config.search.finalist_seeds):
        own = {"seed": (config.seed + seed) % 2**32}
        shorts |= {number + seed * _SEED: shorts[number].model_copy(update=own) for number in settings}
    _train(pool, {number: short for number, short in shorts.items() if number > _SEED}, config.search.rungs)
    shared = ray.put(questions)
    found = pool.examine([(number, short, shared, None, {}) for number, short in shorts.items()])
    verdicts = dict(zip(shorts, found, strict=True))
    return {number: [verdicts[each] for each in shorts if each % _SEED == number] for number in settings}


def _train(pool: Any, shorts: dict[int, Config], rungs: int) -> None:
    from t2s.search.proxy import train_in_slot

    if not shorts:
        return
    with ThreadPoolExecutor(len(shorts)) as threads:
        done = [
            threads.submit(train_in_slot, pool.hosts, number, short, rungs, _must_not_fail)
            for number, short in shorts.items()
        ]
        for each in done:
            each.result()


def _must_not_fail(news: Any, host: str) -> None:
    if news.error:
        raise RunError(f"a finalist's further training failed: {news.error}; set search.finalist_seeds=1")


def export_from_slot(
    pool: Any, config: Config, trial: Trial, num_examples: int, to: Path, about: dict[str, Any]
) -> None:
    """Write a trial's adapter to ``to``."""
    short = trial_config(config, trial.setting, num_examples)
    pool.examine([(trial.number, short, [], to, about)])


# -- of trials with a training of their own ------------------------------------------------------------------------


def ask_adapters(
    config: Config, adapters: dict[int, Path], questions: Any, options: dict[str, Any]
) -> dict[int, list[Verdicts]]:
    """The verdicts of each adapter, in one process with the resources ``options`` that loads the base once."""
    import ray

    ask = ray.remote(_ask_adapters).options(**options)
    found: list[Verdicts] = ray.get(ask.remote(config, list(adapters.values()), questions))
    return {number: [verdicts] for number, verdicts in zip(adapters, found, strict=True)}


def _ask_adapters(config: Config, adapters: list[Path], questions: Any) -> list[Verdicts]:
    from t2s.model.adapter import load_adapter
    from t2s.model.load import load_base
    from t2s.train.measure import ask_questions

    found = []
    for adapter in adapters:
        model, tokenizer, base = load_base(config, for_training=False)
        tuned = load_adapter(model, adapter, base, config.prompt)
        found.append(ask_questions(tuned, tokenizer, config, questions))
    return found


# -- what stays on the disk ----------------------------------------------------------------------------------------


def sweep_trials(folder: Path, ended: Collection[int], keep: Collection[int]) -> None:
    """Remove what the trials ``ended`` and their further trainings left in ``folder``, but for those in ``keep``."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.name.isdecimal() and int(path.name) % _SEED in ended and int(path.name) not in keep:
            shutil.rmtree(path, ignore_errors=True)
