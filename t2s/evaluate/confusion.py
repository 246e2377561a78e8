"""Which part of a query goes wrong: gold against predicted, part by part.

Only where WikiSQL's form can say both; predictions that it cannot say, or that do not parse, have their own column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from t2s.sql.core import AGGREGATIONS, OPERATORS, Condition, LogicalForm, Schema

PARTS = {
    "aggregation": "aggregation",
    "selected_column": "selected column, by type",
    "operator": "operator of the conditions, by their columns",
    "condition_value": "value of the conditions whose column and operator are right",
}
"""Every table of :func:`confusions` and its title."""

NO_FORM, NONE = "no logical form", "none"
MISSING, EXTRA = "condition missing", "condition too many"

Pair = tuple[LogicalForm | None, LogicalForm | None, Schema]
"""Gold, prediction, and the schema that both speak of."""

Matrix = dict[str, dict[str, int]]
"""Gold label to predicted label to how often."""


def confusions(pairs: Iterable[Pair]) -> dict[str, Matrix]:
    """One matrix for each of :data:`PARTS`, over the golds that have a logical form."""
    counted: dict[str, Counter[tuple[str, str]]] = {part: Counter() for part in PARTS}
    for gold, predicted, schema in pairs:
        if gold is not None:
            types = [column.type for column in schema.tables[0].columns]
            counted["aggregation"][_aggregation(gold), _aggregation(predicted)] += 1
            counted["selected_column"][_column(gold.sel, types), _selected(gold, predicted, types)] += 1
            if predicted is not None:
                _conditions(gold, predicted, counted)
    return {part: _matrix(cells) for part, cells in counted.items()}


def _aggregation(lf: LogicalForm | None) -> str:
    if lf is None:
        return NO_FORM
    return (AGGREGATIONS[lf.agg] or NONE) if 0 <= lf.agg < len(AGGREGATIONS) else "out of range"


def _column(index: int, types: list[str]) -> str:
    return types[index] if 0 <= index < len(types) else "out of range"


def _selected(gold: LogicalForm, predicted: LogicalForm | None, types: list[str]) -> str:
    if predicted is None:
        return NO_FORM
    return "the same" if predicted.sel == gold.sel else f"another: {_column(predicted.sel, types)}"


def _operator(condition: Condition) -> str:
    return OPERATORS[condition.op] if 0 <= condition.op < len(OPERATORS) else "out of range"


def _conditions(gold: LogicalForm, predicted: LogicalForm, counted: dict[str, Counter[tuple[str, str]]]) -> None:
    left = list(predicted.conds)
    for condition in gold.conds:
        # The most alike first, so that two conditions on one column meet their own.
        near = [other for other in left if other.column == condition.column]
        found = max(near, key=lambda other: (other.op == condition.op, _same_value(other, condition)), default=None)
        counted["operator"][_operator(condition), MISSING if found is None else _operator(found)] += 1
        if found is not None:
            left.remove(found)
            if found.op == condition.op:
                kind = "a string" if isinstance(condition.value, str) else "a number"
                counted["condition_value"][kind, _value(found, condition)] += 1
    for other in left:
        counted["operator"][EXTRA, _operator(other)] += 1


def _same_value(one: Condition, other: Condition) -> bool:
    return str(one.value).lower() == str(other.value).lower()


def _value(found: Condition, gold: Condition) -> str:
    if _same_value(found, gold):
        return "the same"
    ours, theirs = str(found.value).lower(), str(gold.value).lower()
    if ours.split() == theirs.split():
        return "other spaces"
    return "part of the gold's, or around it" if ours in theirs or theirs in ours else "another"


def _matrix(cells: Counter[tuple[str, str]]) -> Matrix:
    matrix: Matrix = {}
    for (gold, predicted), count in sorted(cells.items()):
        matrix.setdefault(gold, {})[predicted] = count
    return matrix
