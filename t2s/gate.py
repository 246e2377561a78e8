"""The paired comparison that the promotion gate makes, on the files that an evaluation leaves.

Correct means execution accuracy by the official engine (``ex``); where no rows were to execute on, exact
logical form (``lf``). Two sides are comparable only on the same questions with the same gold queries, asked with the
same prompt and decoded the same way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.errors import ConfigError, DataError
from t2s.evaluate.paired import paired

PREDICTIONS, EVALUATION = "predictions.jsonl", "evaluation.json"
Side = str
"""``base``, ``tuned`` or ``champion``: the key of one model's answers in a line of ``predictions.jsonl``."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's marks: ``correct[id]`` by ``metric``, and what each id asked."""

    metric: str
    correct: Mapping[str, bool]
    asked: Mapping[str, str]
    setting: Mapping[str, str]
    """``prompt_regime``, ``decoding`` and ``split`` of the evaluation; empty if it does not say."""
    adapter_sha256: str | None = None
    """The weights that answered, if the evaluation says."""

    def unlike(self, other: Answers) -> str | None:
        """Why the two cannot be compared, as the end of a sentence about ``other``; None if they can."""
        if self.asked != other.asked or self.metric != other.metric:
            return "answered other questions"
        for name in ("prompt_regime", "decoding"):
            if self.setting.get(name) != other.setting.get(name):
                return f"answered with another {name.replace('_', ' ')} ({other.setting.get(name)})"
        return None

    def check_adapter(self, expected: str | None, place: Path) -> None:
        """Raise a :class:`DataError` if other weights answered than the expected ones."""
        if self.setting and expected is not None and self.adapter_sha256 != expected:
            told = "another adapter" if self.adapter_sha256 else "an adapter that it does not name"
            raise DataError(f"{place}: measured {told}, not this version; evaluate this one: t2s evaluate")

    def scores(self) -> dict[str, str]:
        """The share of correct answers and what they were asked, as tags."""
        share = sum(self.correct.values()) / len(self.correct)
        told = {f"scored_{name}": text for name, text in self.setting.items()}
        return {self.metric: f"{share:.4f}", "questions": str(len(self.correct))} | told


@dataclass(frozen=True, slots=True)
class Gate:
    """What a challenger must reach: McNemar's exact p at most ``max_p``, and ``min_gain`` points of accuracy."""

    max_p: float = 0.05
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.max_p <= 1:
            raise ConfigError(f"the promotion's p must be above 0 and at most 1, not {self.max_p:g}")
        if not (math.isfinite(self.min_gain) and 0 <= self.min_gain <= 100):
            raise ConfigError(f"the promotion's gain must be 0 to 100 points, not {self.min_gain:g}")

    def passes(self, found: Comparison) -> bool:
        """Whether the challenger of this comparison is better by enough."""
        gained = 100 * (found.wins - found.losses) / found.questions
        return found.wins > found.losses and found.p_value <= self.max_p and gained >= self.min_gain

    def __str__(self) -> str:
        gain = f", by {self.min_gain:g} points or more" if self.min_gain else ""
        return f"better, p ≤ {self.max_p:g}{gain}"


DEFAULT_GATE = Gate()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Questions that only one side got right, out of all, and McNemar's exact p value (two-sided)."""

    metric: str
    questions: int
    wins: int
    losses: int
    p_value: float
    difference: float = 0.0
    """In accuracy, with its 95% bootstrap interval ``low`` to ``high``."""
    low: float = 0.0
    high: float = 0.0

    def sentence(self, against: str) -> str:
        """The comparison in one line."""
        return (
            f"{self.metric.upper()} against {against}: {self.wins} won and {self.losses} lost "
            f"of {self.questions} questions, {100 * self.difference:+.1f} points ({100 * self.low:+.1f} to "
            f"{100 * self.high:+.1f}), p = {self.p_value:.3g}"
        )


def compare(ours: Answers, theirs: Answers) -> Comparison:
    """McNemar's exact test, and the difference with its interval; both answered the same questions."""
    found = paired([(mark, theirs.correct[key]) for key, mark in ours.correct.items()])
    assert found is not None, "an evaluation holds at least one question"
    wins, losses = found.only_first, found.only_second
    return Comparison(ours.metric, found.n, wins, losses, found.p_value, found.difference, found.low, found.high)


def read_answers(file: Path, side: Side) -> Answers:
    """The marks of ``side`` in a ``predictions.jsonl``, and what the ``evaluation.json`` beside it says of them.

    Raises:
        DataError: a file or a line of it is not an evaluation's; names the file and the line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}; run t2s evaluate first") from None
    rows = [_row(file, number, line, side) for number, line in enumerate(lines, 1)]
    if not rows:
        raise DataError(f"{file}: holds no questions")
    metric = "ex" if all(row[side].get("ex") is not None for row in rows) else "lf"
    correct = {row["id"]: bool(row[side].get(metric)) for row in rows}
    if len(correct) < len(rows):
        raise DataError(f"{file}: an id occurs twice; a question must be counted once")
    asked = {row["id"]: f"{row.get('question')}\n{row.get('gold')}" for row in rows}
    return Answers(metric, correct, asked, *_setting(file.with_name(EVALUATION), side))


def _setting(file: Path, side: Side) -> tuple[dict[str, str], str | None]:
    if not file.is_file():
        return {}, None
    try:
        told = json.loads(file.read_text("utf-8"))
        decoding, split, weights = told["decoding"]["name"], told["data"]["split"], told.get("adapter_sha256", {})
        setting = {"prompt_regime": str(told["prompt_regime"]), "decoding": str(decoding), "split": str(split)}
        return setting, weights.get(side)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not what t2s evaluate writes ({error!r}); run t2s evaluate again") from None


def _row(file: Path, number: int, line: str, side: Side) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {number}: not JSON: {error.msg}") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise DataError(f'{file}, line {number}: expected {{"id": text, ...}}, found {line[:60]!r}')
    if not isinstance(row.get(side), dict):
        raise DataError(f"{file}, line {number}: no answer of the {side} model; evaluate both: t2s evaluate")
    return row
