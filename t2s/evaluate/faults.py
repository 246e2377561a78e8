"""The faults of gold queries that move a score, counted: what a headline number does not show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from t2s.sql.core import AGGREGATIONS, OPERATORS, LogicalForm
from t2s.sql.repaired import runs_as_official

FAULTS = {
    "repeated_column": "two conditions on one column, of which the official engine keeps one value",
    "changed_by_repair": "the repaired execution returns something else than the official one",
    "out_of_range": "a column, aggregation or operator that is not there",
    "cannot_run": "the official execution of the gold fails, so that EX cannot be measured",
    "cannot_run_repaired": "the repaired execution of the gold fails",
    "wrong_database": "the database holds another table under the name of this one",
    "empty": "the gold returns no row, so that any query that finds nothing counts as right",
    "null": "the gold returns nothing but NULL, so that any aggregate over nothing counts as right",
    "zero": "the gold counts to 0, so that any COUNT over nothing counts as right",
    "arbitrary_rows": "LIMIT without ORDER BY: other rows would be as right as the gold's",
    "too_many_rows": "the gold returns more rows than the sandbox lets out",
}
"""Every fault and what it does; one gold may have several."""

EMPTY = frozenset({"empty", "null"})
"""Golds that an empty answer satisfies."""


def form_faults(lf: LogicalForm | None, num_columns: int) -> list[str]:
    """The faults that the logical form itself shows."""
    if lf is None:
        return []
    if runs_as_official(lf, num_columns):
        return []
    columns = [condition.column for condition in lf.conds]
    indices = [(lf.agg, len(AGGREGATIONS)), *((c, num_columns) for c in (lf.sel, *columns))]
    indices += [(condition.op, len(OPERATORS)) for condition in lf.conds]
    found = ["repeated_column"] if len(set(columns)) < len(columns) else []
    return found + (["out_of_range"] if any(not 0 <= i < count for i, count in indices) else [])


def result_faults(rows: Sequence[tuple[Any, ...]] | None) -> list[str]:
    """The faults that the gold's result shows."""
    if rows is None:
        return []
    if not rows:
        return ["empty"]
    if all(value is None for row in rows for value in row):
        return ["null"]
    return ["zero"] if list(rows) == [(0,)] else []


def count_faults(golds: Iterable[tuple[str, Sequence[str], str]]) -> dict[str, Any]:
    """``{"counts": {fault: n}, "listed": [...]}`` of ``(id, faults, problem)`` a gold.

    ``listed`` names those that cannot run and why, so that nobody has to look for them.
    """
    counts = dict.fromkeys(FAULTS, 0)
    listed = []
    for key, faults, problem in golds:
        for fault in faults:
            counts[fault] += 1
        if problem and {"cannot_run", "cannot_run_repaired", "wrong_database", "too_many_rows"} & set(faults):
            listed.append({"id": key, "faults": list(faults), "problem": problem})
    return {"counts": counts, "listed": listed}
