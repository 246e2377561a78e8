"""The paired comparison that the promotion gate makes, on the files that an evaluation leaves.

Correct means execution accuracy by the official engine (``ex``); where no rows were to execute on, exact
logical form (``lf``). Two sides are comparable only on the same questions with the same gold queries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.errors import DataError
from t2s.evaluate.paired import paired

Side = str
"""``base`` or ``tuned``: the key of one model's answers in a line of ``predictions.jsonl``."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's marks: ``correct[id]`` by ``metric``, and what each id asked."""

    metric: str
    correct: Mapping[str, bool]
    asked: Mapping[str, str]

    def same_questions(self, other: Answers) -> bool:
        """Whether both answered exactly the same questions, by the same measure."""
        return self.asked == other.asked and self.metric == other.metric

    def scores(self) -> dict[str, str]:
        """The share of correct answers, as tags."""
        share = sum(self.correct.values()) / len(self.correct)
        return {self.metric: f"{share:.4f}", "questions": str(len(self.correct))}


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
    """The marks of ``side`` in a ``predictions.jsonl``.

    Raises:
        DataError: the file or a line of it is not an evaluation's; names the file and the line.
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
    return Answers(metric, correct, {row["id"]: f"{row.get('question')}\n{row.get('gold')}" for row in rows})


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
