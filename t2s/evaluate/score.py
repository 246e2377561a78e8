"""The one scorer: what a predicted SQL text is worth against its gold query.

LF is WikiSQL's logical-form accuracy, EX its execution accuracy, both by the official rules
(:mod:`t2s.sql.official`); *repaired* EX is the same without their faults. How a text comes to a verdict:

- WikiSQL-shaped examples: the text is parsed to a logical form and scored as the official script scores it.
  A text outside that form (a join, OR, COUNT(*)) is rewritten for the official layout and run in the sandbox,
  its compared strings in lower case as the database is; LF is false, EX compares the rows in order.
  The logical form has no table name, so the official verdicts ignore it; a text that selects from a table that the
  schema does not have would not run, and is wrong in the repaired score.
- Examples on a user's own database: gold and prediction both run in the sandbox. The rows must be the same as
  a multiset, and in the same order if the gold has ORDER BY; columns are compared by position.
- Examples without rows: LF only; EX is None, never made up.

A missing prediction is wrong. A gold that cannot run makes EX None, with the reason in ``detail``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from t2s.data.core import Example, TableRef
from t2s.errors import DataError, SQLError
from t2s.evaluate.verdict import Gold, Outcome, Rows, Verdict, failed, measured, outcome_of
from t2s.sql.core import LogicalForm
from t2s.sql.extract import extract_sql
from t2s.sql.official import OfficialEngine, official_lf_match, physical_name
from t2s.sql.parse import NotWikiSQLForm, ParseFailure, parse, selected_table
from t2s.sql.rebind import rebind
from t2s.sql.repaired import execute_repaired
from t2s.sql.sandbox import Limits, Sandbox, check_read_only
from t2s.sql.syntax import read_query

__all__ = ["Outcome", "Scorer", "Verdict"]


class Scorer:
    """Scores one prediction at a time. Thread safe. Owns a sandbox and databases: close it, or use ``with``."""

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        self._sandbox = Sandbox(limits, workers)
        self._engines: dict[Path, OfficialEngine] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the databases and end the sandbox."""
        self._sandbox.close()
        for engine in self._engines.values():
            engine.close()

    def score(self, example: Example, prediction: str | None) -> Verdict:
        """The verdict on a model's raw text or SQL; only its first statement counts (None or none: missing).

        Raise :class:`DataError` if the example's database is missing or damaged; no text can make it raise.
        """
        sql = extract_sql(prediction or "")
        if isinstance(example.source, Path):
            return self._score_on_database(example, example.source, sql)
        if len(example.schema.tables) != 1:
            return _score_unmeasurable(sql)
        return self._score_wikisql(example, sql)

    # WikiSQL-shaped examples

    def _score_wikisql(self, example: Example, sql: str) -> Verdict:
        gold_lf = _gold_logical_form(example)
        gold = self._wikisql_gold(example, gold_lf)
        if not sql:
            return failed(gold, Outcome.missing, "there is no SQL in the prediction")
        try:
            lf = parse(sql, example.schema.table)
        except NotWikiSQLForm as error:
            return self._score_outside_form(example, gold, sql, f"outside WikiSQL's form: {error}")
        except ParseFailure as error:
            return failed(gold, outcome_of(error), str(error))
        match = gold_lf is not None and official_lf_match(lf, gold_lf)
        if not isinstance(example.source, TableRef) or gold.rows is None:
            return measured(match, None, None, gold.problem)
        engine, table_id = self._engine(example.source.database), example.source.table_id
        rows, problem = _attempt(lambda: engine.execute(table_id, lf))
        repaired, _ = _attempt(lambda: execute_repaired(engine, table_id, lf))
        misnamed = _other_table(sql, example)
        repaired_ex = None if gold.repaired is None else not misnamed and repaired == gold.repaired
        if rows is None:
            return Verdict(match, False, repaired_ex, Outcome.execution_error, problem)
        return measured(match, rows == gold.rows, repaired_ex, misnamed)

    def _score_outside_form(self, example: Example, gold: Gold, sql: str, detail: str) -> Verdict:
        if not isinstance(example.source, TableRef) or gold.rows is None:
            return measured(False, None, None, f"{detail}; {gold.problem}")
        try:
            rows, truncated = self._run_rebound(example, example.source, sql)
        except SQLError as error:
            return failed(gold, outcome_of(error), f"{detail}; {error}")
        same = not truncated and rows == gold.rows
        return measured(False, same, None if gold.repaired is None else rows == gold.repaired, detail)

    def _wikisql_gold(self, example: Example, lf: LogicalForm | None) -> Gold:
        source = example.source
        if not isinstance(source, TableRef):
            return Gold(problem="EX cannot be measured: there are no rows")
        if lf is None:
            rebound, problem = _attempt_rows(lambda: self._run_rebound(example, source, example.sql))
            return Gold(rebound, rebound, problem)
        engine, table_id = self._engine(source.database), source.table_id
        rows, problem = _attempt(lambda: engine.execute(table_id, lf))
        repaired, _ = _attempt(lambda: execute_repaired(engine, table_id, lf))
        return Gold(rows, repaired, problem and f"the gold query cannot run: {problem}")

    def _run_rebound(self, example: Example, source: TableRef, sql: str) -> tuple[Rows, bool]:
        physical = rebind(sql, example.schema.table, source.table_id)
        result = self._sandbox.run(source.database, physical, [physical_name(source.table_id)])
        return list(result.rows), result.truncated

    def _engine(self, database: Path) -> OfficialEngine:
        with self._lock:
            if database not in self._engines:
                self._engines[database] = OfficialEngine(database)
            return self._engines[database]

    # Examples on a user's own database

    def _score_on_database(self, example: Example, database: Path, sql: str) -> Verdict:
        rows, problem = _attempt_rows(lambda: self._run(database, example.sql))
        gold = Gold(rows, rows, problem)
        if not sql:
            return failed(gold, Outcome.missing, "there is no SQL in the prediction")
        match = _same_logical_form(example, sql)
        try:
            predicted, truncated = self._run(database, sql)
        except SQLError as error:
            return failed(gold, outcome_of(error), str(error))
        if gold.rows is None:
            return measured(match, None, None, problem)
        # The gold's rows stayed within the caps, so that rows beyond them cannot be the same.
        same = not truncated and _same_rows(predicted, gold.rows, ordered=_is_ordered(example.sql))
        return measured(match, same, same, "")

    def _run(self, database: Path, sql: str) -> tuple[Rows, bool]:
        result = self._sandbox.run(database, sql)
        return list(result.rows), result.truncated


def _other_table(sql: str, example: Example) -> str:
    """What is wrong with the table that ``sql`` names; empty if it is the schema's, in any case."""
    asked, named = example.schema.table.name, selected_table(sql, example.schema.table)
    return "" if named.casefold() == asked.casefold() else f"selects from {named!r}, the table is {asked!r}"


def _score_unmeasurable(sql: str) -> Verdict:
    """Several tables and no rows: neither a logical form nor an execution can tell right from wrong."""
    gold = Gold(problem="LF needs one table, EX needs a database: this example has neither")
    if not sql:
        return failed(gold, Outcome.missing, "there is no SQL in the prediction")
    try:
        check_read_only(sql)
    except SQLError as error:
        return failed(gold, outcome_of(error), str(error))
    return measured(False, None, None, gold.problem)


def _attempt(execute: Callable[[], list[Any]]) -> tuple[Rows | None, str]:
    """The one-column rows of an engine, or None and why not."""
    try:
        return [(value,) for value in execute()], ""
    except (SQLError, DataError) as error:
        return None, str(error)


def _attempt_rows(execute: Callable[[], tuple[Rows, bool]]) -> tuple[Rows | None, str]:
    """The rows of a gold query in the sandbox, or None and why EX cannot be measured."""
    try:
        rows, truncated = execute()
    except SQLError as error:
        return None, f"the gold query cannot run: {error}"
    return (None, "the gold query returns more rows than the sandbox lets out") if truncated else (rows, "")


def _gold_logical_form(example: Example) -> LogicalForm | None:
    if example.logical_form is not None:
        return example.logical_form
    return _logical_form(example, example.sql)


def _logical_form(example: Example, sql: str) -> LogicalForm | None:
    if len(example.schema.tables) != 1:
        return None
    try:
        return parse(sql, example.schema.table)
    except ParseFailure:
        return None


def _same_logical_form(example: Example, sql: str) -> bool:
    predicted, gold = _logical_form(example, sql), _gold_logical_form(example)
    return predicted is not None and gold is not None and official_lf_match(predicted, gold)


def _same_rows(predicted: Sequence[Any], gold: Sequence[Any], ordered: bool) -> bool:
    return predicted == gold if ordered else Counter(predicted) == Counter(gold)


def _is_ordered(sql: str) -> bool:
    try:
        return read_query(sql).args.get("order") is not None
    except ParseFailure:
        return False
