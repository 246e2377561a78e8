"""The one scorer: what a prediction is worth against its gold query. In words: ``docs/evaluation.md``.

LF is WikiSQL's logical-form accuracy, EX its execution accuracy, both by the official rules
(:mod:`t2s.sql.official`); *repaired* EX is the same without their faults. How a text comes to a verdict:

- WikiSQL-shaped examples: the text is parsed to a logical form and scored as the official script scores it; what
  runs then is our own rendering of that form with its values bound, never the text.
  A text outside that form (a join, OR, COUNT(*)) is rewritten for the official layout and run in the sandbox,
  its compared strings in lower case as the database is; LF is false, EX compares the rows in order.
  The logical form has no table name, so the official verdicts ignore it; a text that selects from a table that the
  schema does not have would not run, and is wrong in the repaired score.
- Examples on a user's own database: gold and prediction both run in the sandbox, and their rows are compared by
  :mod:`t2s.evaluate.rows`.
- Examples without rows: LF only; EX is None, never made up.

A missing prediction is wrong. A gold that cannot run makes EX None, with the reason in ``detail``.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from t2s.data.core import Example, TableRef
from t2s.errors import SQLError
from t2s.evaluate.execute import Executor, form_of
from t2s.evaluate.rows import difference, same_rows
from t2s.evaluate.verdict import Gold, Outcome, Ran, Verdict, failed, measured, outcome_of
from t2s.sql.core import LogicalForm
from t2s.sql.extract import extract_sql
from t2s.sql.official import official_lf_match, raw_lf_match
from t2s.sql.parse import NotWikiSQLForm, ParseFailure, UnknownColumn, parse_with_table
from t2s.sql.repaired import check_indices, strict_form
from t2s.sql.sandbox import Limits, check_read_only

__all__ = ["Outcome", "Scorer", "Verdict"]

NO_SQL = "there is no SQL in the prediction"


class Scorer:
    """Scores one prediction at a time. Thread safe. Owns a sandbox and databases: close it, or use ``with``.

    ``ordered`` compares the conditions of logical forms as a list (the official script's ``--ordered``).
    """

    def __init__(self, limits: Limits | None = None, workers: int = 1, *, ordered: bool = False) -> None:
        self._executor = Executor(limits, workers)
        self._ordered = ordered
        self._last: tuple[Example, Gold] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the databases and end the sandbox."""
        self._executor.close()

    def gold(self, example: Example) -> Gold:
        """What the gold query returns; kept until another example comes, so that several sides share it.

        Raise :class:`DataError` if the example's database is missing or damaged.
        """
        last = self._last
        if last is not None and last[0] is example:
            return last[1]
        gold = self._executor.gold(example)
        self._last = (example, gold)
        return gold

    def score(self, example: Example, prediction: str | None) -> Verdict:
        """The verdict on a model's raw text or SQL; only its first statement counts (None or none: missing).

        Raise :class:`DataError` if the example's database is missing or damaged; no text can make it raise.
        """
        gold, sql = self.gold(example), extract_sql(prediction or "")
        if not sql:
            return failed(gold, Outcome.missing, NO_SQL)
        if isinstance(example.source, Path):
            return self._score_on_database(example, example.source, gold, sql)
        if len(example.schema.tables) != 1:
            return _score_unmeasurable(gold, sql)
        return self._score_wikisql(example, gold, sql)

    def score_query(self, example: Example, query: Any) -> Verdict:
        """The verdict on a ``{sel, agg, conds}`` of any types, from a prediction file, as the official script's."""
        gold, source = self.gold(example), example.source
        match = gold.form is not None and raw_lf_match(query, gold.form.to_dict(), self._ordered)
        form, problem = _strictly(query, len(example.schema.tables[0].columns))
        if not isinstance(source, TableRef) or gold.rows is None:
            return measured(match, None, None, gold.problem, form=form)
        rows, why = self._executor.official(source, query)
        repaired = self._executor.repaired(source, form)[0] if form and not problem else None
        right = repaired is not None and repaired == gold.repaired
        if rows is None:
            outcome = Outcome.parse_error if form is None else Outcome.execution_error
            return failed(gold, outcome, problem or why, lf=match, form=form, repaired_ex=right, ran=Ran.form)
        repaired_ex = None if gold.repaired is None else right
        return measured(match, rows == gold.rows, repaired_ex, problem, form=form, rows=rows, ran=Ran.form)

    # WikiSQL-shaped examples

    def _score_wikisql(self, example: Example, gold: Gold, sql: str) -> Verdict:
        try:
            lf, named = parse_with_table(sql, example.schema.table)
        except NotWikiSQLForm as error:
            return self._score_outside_form(example, gold, sql, f"outside WikiSQL's form: {error}")
        except ParseFailure as error:
            return failed(gold, outcome_of(error), str(error))
        match = gold.form is not None and official_lf_match(lf, gold.form, self._ordered)
        if not isinstance(example.source, TableRef) or gold.rows is None:
            return measured(match, None, None, gold.problem, form=lf)
        rows, repaired, problem = self._executor.both(example.source, lf)
        misnamed = _misnamed(named, example)
        right = not misnamed and repaired is not None and repaired == gold.repaired
        if rows is None:
            kind = Outcome.execution_error
            return failed(gold, kind, problem, lf=match, form=lf, repaired_ex=right, ran=Ran.form)
        repaired_ex = None if gold.repaired is None else right
        return measured(match, rows == gold.rows, repaired_ex, misnamed, form=lf, rows=rows, ran=Ran.form)

    def _score_outside_form(self, example: Example, gold: Gold, sql: str, detail: str) -> Verdict:
        if not isinstance(example.source, TableRef) or gold.rows is None:
            return measured(False, None, None, f"{detail}; {gold.problem}")
        try:
            rows, truncated = self._executor.rebound(example, example.source, sql)
        except SQLError as error:
            return failed(gold, outcome_of(error), f"{detail}; {error}", ran=_ran(error))
        same = not truncated and rows == gold.rows
        repaired = None if gold.repaired is None else not truncated and rows == gold.repaired
        return measured(False, same, repaired, detail, rows=rows, ran=Ran.sandbox)

    # A user's own databases

    def _score_on_database(self, example: Example, database: Path, gold: Gold, sql: str) -> Verdict:
        form = form_of(example, sql)
        match = form is not None and gold.form is not None and official_lf_match(form, gold.form, self._ordered)
        try:
            rows, truncated = self._executor.on_database(database, sql)
        except SQLError as error:
            return failed(gold, outcome_of(error), str(error), form=form, ran=_ran(error))
        if gold.rows is None:
            return measured(match, None, None, gold.problem, form=form, rows=rows, ran=Ran.sandbox)
        # The gold's rows stayed within the caps, so that rows beyond them cannot be the same.
        same = not truncated and same_rows(rows, gold.rows, gold.blocks)
        detail = "" if same else difference(rows, gold.rows, gold.blocks)
        return measured(match, same, same, detail, form=form, rows=rows, ran=Ran.sandbox)


def _misnamed(named: str, example: Example) -> str:
    """What is wrong with the table that a text names; empty if it is the schema's, in any case."""
    asked = example.schema.table.name
    return "" if named.casefold() == asked.casefold() else f"selects from {named!r}, the table is {asked!r}"


def _score_unmeasurable(gold: Gold, sql: str) -> Verdict:
    """Several tables and no rows: neither a logical form nor an execution can tell right from wrong."""
    try:
        check_read_only(sql)
    except SQLError as error:
        return failed(gold, outcome_of(error), str(error))
    return measured(False, None, None, gold.problem)


def _strictly(query: Any, num_columns: int) -> tuple[LogicalForm | None, str]:
    """A raw query as a logical form, if it is one, and what the repaired rules have against it."""
    try:
        form = strict_form(query)
    except SQLError as error:
        return None, str(error)
    try:
        check_indices(form, num_columns)
    except SQLError as error:
        return form, str(error)
    return form, ""


def _ran(error: SQLError) -> Ran:
    """Whether a failure is one of running, or of reading beforehand."""
    before = isinstance(error, ParseFailure | UnknownColumn) or outcome_of(error) is Outcome.parse_error
    return Ran.nothing if before else Ran.sandbox
