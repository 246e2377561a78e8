"""What a validation says besides its loss: which questions are asked, how many answers are right, which one was best.

The best is a function of the metrics that were logged so far, which every checkpoint carries: a run that goes on knows
the best and how long ago it was without a word of its own. Loads no torch; the measuring is :mod:`t2s.train.measure`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from t2s.config import Config, TrainingConfig
from t2s.data.core import Example
from t2s.data.samples import with_samples
from t2s.errors import DataError
from t2s.evaluate.categories import category
from t2s.evaluate.execute import gold_form
from t2s.evaluate.statistics import wilson

MEASURES = ("eval_loss", "eval_ex", "eval_ex_low", "eval_ex_high", "eval_ex_n")
"""What a validation reports."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Execution accuracy by the official rules: ``right`` of ``n`` questions whose gold query can be executed."""

    right: int
    n: int

    @classmethod
    def of(cls, verdicts: Iterable[bool | None]) -> Accuracy:
        """Count verdicts; None is a gold that cannot be executed, which says nothing about the answer."""
        known = [verdict for verdict in verdicts if verdict is not None]
        return cls(sum(known), len(known))

    def metrics(self) -> dict[str, float]:
        """As the journal names it, with its 95% Wilson interval."""
        low, high = wilson(self.right, self.n)
        return {"eval_ex": self.right / self.n, "eval_ex_low": low, "eval_ex_high": high, "eval_ex_n": float(self.n)}


def choose_questions(config: Config, val: Sequence[Example]) -> list[Example]:
    """The slice of ``val`` that is asked at each validation, with sample values where prompts show some.

    Raises:
        DataError: execution accuracy is asked for, and no question has rows to execute on.
    """
    count = config.training.eval_ex_samples
    if count == 0:
        return []
    executable = [example for example in val if example.source is not None]
    if not executable:
        raise DataError(
            f"training.eval_ex_samples={count}: the validation questions of data.pipeline={config.data.pipeline} "
            "have no rows to execute on; set it to 0"
        )
    shown = config.prompt.sample_values
    chosen = stratified(executable, count, config.seed)
    return [replace(e, schema=with_samples(e.schema, e.source, shown)) for e in chosen] if shown else chosen


def stratified(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """``count`` examples with the share of each category that ``examples`` have, drawn with ``seed``.

    Places that do not come out even go to the largest remainders. A larger ``count`` draws the same ones and more, but
    for those places.
    """
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(category(gold_form(example)), []).append(example)
    exact = {name: min(count, len(examples)) * len(members) / len(examples) for name, members in groups.items()}
    taken = {name: int(share) for name, share in exact.items()}
    rest = min(count, len(examples)) - sum(taken.values())
    for name in sorted(exact, key=lambda name: (taken[name] - exact[name], name))[:rest]:
        taken[name] += 1
    return [
        example
        for name in sorted(groups)
        for example in random.Random(f"{seed}/{name}").sample(groups[name], len(groups[name]))[: taken[name]]
    ]


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far, and how many there were after it."""

    step: int
    value: float
    since: int


def find_best(history: Iterable[Mapping[str, Any]], metric: str) -> Best | None:
    """The best of the logged validations by ``metric``, the earlier one of equals; None before the first."""
    rows = {int(row["step"]): float(row[metric]) for row in history if metric in row}  # one a step, the last
    finite = [(step, value) for step, value in sorted(rows.items()) if math.isfinite(value)]
    if not finite:
        return None
    sign = 1 if metric == "eval_ex" else -1
    step, value = max(finite, key=lambda pair: (sign * pair[1], -pair[0]))
    return Best(step, value, since=sum(later > step for later in rows))


def is_over(best: Best | None, training: TrainingConfig) -> bool:
    """Whether the last validations brought nothing better for as long as the configuration has patience."""
    return bool(training.early_stopping_patience and best and best.since >= training.early_stopping_patience)


def describe_choice(config: Config, metrics: Mapping[str, float]) -> list[str]:
    """What a person should know of a finished run's adapter: why it ended early, and which step it is of."""
    training, lines = config.training, []
    if "best_step" not in metrics:
        return []
    name, step, last = training.metric_for_best, int(metrics["best_step"]), int(metrics["step"])
    if metrics.get("stopped_early"):
        lines.append(
            f"stopped early at step {last}: {name} was not better than at step {step} in "
            f"{training.early_stopping_patience} validations (training.early_stopping_patience)"
        )
    value = f"{metrics[str(name)]:.4f}"
    if name == "eval_ex":
        value += (
            f", {metrics['eval_ex_low']:.4f} to {metrics['eval_ex_high']:.4f} on {metrics['eval_ex_n']:g} questions"
        )
    lines.append(f"the adapter is that of step {step} of {last}, the best by {name} ({value})")
    return lines
