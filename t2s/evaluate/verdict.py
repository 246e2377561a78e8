"""The nouns of scoring: verdicts, outcomes, and what a gold query returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from t2s.errors import SQLError
from t2s.sql.sandbox import InvalidSQL, Refused, TimedOut
from t2s.sql.syntax import NotWikiSQLForm, SyntaxFailure, UnknownColumn

Rows = list[tuple[Any, ...]]


class Outcome(StrEnum):
    """What became of one prediction. All but ``correct`` and ``not_measurable`` count as wrong."""

    correct = "correct"
    wrong = "wrong"
    parse_error = "parse_error"
    unknown_column = "unknown_column"
    execution_error = "execution_error"
    refused = "refused"
    timeout = "timeout"
    missing = "missing"
    not_measurable = "not_measurable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``lf`` and ``ex`` are the official verdicts; ``ex`` is None where no rows can tell."""

    lf: bool
    ex: bool | None
    repaired_ex: bool | None
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Gold:
    """What the gold query returns by each rule; None where that cannot be known, and why."""

    rows: Rows | None = None
    repaired: Rows | None = None
    problem: str = ""


def measured(lf: bool, ex: bool | None, repaired_ex: bool | None, detail: str) -> Verdict:
    """The verdict on a prediction that ran, or that no rows can judge (``ex`` None)."""
    if ex is None:
        # The same logical form is the same query: it is right whatever the rows are.
        return Verdict(lf, None, repaired_ex, Outcome.correct if lf else Outcome.not_measurable, detail)
    return Verdict(lf, ex, repaired_ex, Outcome.correct if ex else Outcome.wrong, detail)


def failed(gold: Gold, outcome: Outcome, detail: str) -> Verdict:
    """A prediction that gives no rows: wrong wherever the gold gives some."""
    ex = None if gold.rows is None else False
    return Verdict(False, ex, None if gold.repaired is None else False, outcome, detail)


def outcome_of(error: SQLError) -> Outcome:
    """Which kind of failure an error of the parser or of the sandbox is."""
    # Outside WikiSQL's form is every other query too; as an *error* it is what is no single query at all.
    if isinstance(error, Refused | NotWikiSQLForm):
        return Outcome.refused
    if isinstance(error, TimedOut):
        return Outcome.timeout
    if isinstance(error, SyntaxFailure | InvalidSQL):
        return Outcome.parse_error
    if isinstance(error, UnknownColumn) or "no such column" in str(error):
        return Outcome.unknown_column
    return Outcome.execution_error
