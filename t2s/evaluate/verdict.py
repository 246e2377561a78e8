"""The nouns of scoring: verdicts, outcomes, and what a gold query returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from t2s.errors import SQLError
from t2s.sql.core import LogicalForm
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


class Ran(StrEnum):
    """What executed a prediction."""

    form = "form"
    """Our own rendering of its logical form, values bound."""
    sandbox = "sandbox"
    """Its own text, in the sandbox."""
    nothing = "nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``lf`` and ``ex`` are the official verdicts; ``ex`` is None where no rows can tell."""

    lf: bool
    ex: bool | None
    repaired_ex: bool | None
    outcome: Outcome
    detail: str = ""
    form: LogicalForm | None = field(default=None, compare=False)
    """What the prediction says, if WikiSQL's form can say it."""
    rows: Rows | None = field(default=None, compare=False, repr=False)
    """What it returned, if it ran."""
    ran: Ran = field(default=Ran.nothing, compare=False)


@dataclass(frozen=True, slots=True)
class Gold:
    """What the gold query returns by each rule; None where that cannot be known, and why."""

    rows: Rows | None = None
    repaired: Rows | None = None
    problem: str = ""
    form: LogicalForm | None = None
    faults: tuple[str, ...] = ()
    """Which of :data:`t2s.evaluate.faults.FAULTS` touch it."""
    blocks: tuple[int, ...] | None = None
    """On a user's database: how many rows each tie of its ORDER BY holds; None if it does not order."""


def measured(
    lf: bool,
    ex: bool | None,
    repaired_ex: bool | None,
    detail: str,
    *,
    form: LogicalForm | None = None,
    rows: Rows | None = None,
    ran: Ran = Ran.nothing,
) -> Verdict:
    """The verdict on a prediction that ran, or that no rows can judge (``ex`` None)."""
    if ex is None:
        # The same logical form is the same query: it is right whatever the rows are.
        outcome = Outcome.correct if lf else Outcome.not_measurable
    else:
        outcome = Outcome.correct if ex else Outcome.wrong
    return Verdict(lf, ex, repaired_ex, outcome, detail, form, rows, ran)


def failed(
    gold: Gold,
    outcome: Outcome,
    detail: str,
    *,
    lf: bool = False,
    form: LogicalForm | None = None,
    repaired_ex: bool = False,
    ran: Ran = Ran.nothing,
) -> Verdict:
    """A prediction that gives no rows: wrong wherever the gold gives some."""
    ex = None if gold.rows is None else False
    repaired = None if gold.repaired is None else repaired_ex
    return Verdict(lf, ex, repaired, outcome, detail, form, None, ran)


def outcome_of(error: SQLError) -> Outcome:
    """Which kind of failure an error of the parser or of the sandbox is."""
    # Outside WikiSQL's form is every other query too; as an *error* it is what is no single query at all.
    if isinstance(error, Refused | NotWikiSQLForm):
        return Outcome.refused
    if isinstance(error, TimedOut):
        return Outcome.timeout
    if isinstance(error, SyntaxFailure | InvalidSQL):
        return Outcome.parse_error
    message = str(error)
    if isinstance(error, UnknownColumn) or "no such column" in message or "Referenced column" in message:
        return Outcome.unknown_column
    return Outcome.execution_error
