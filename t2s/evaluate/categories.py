"""The kinds of question that results are told apart by; each gold query has exactly one value of each."""

from __future__ import annotations

from t2s.sql.core import AGGREGATIONS, OPERATORS, LogicalForm, Schema

CATEGORIES = ("simple_select", "where_filters", "aggregation", "other")

FACETS = ("conditions", "operator", "aggregation", "column_type")
"""The finer tables, each over all questions."""


def category(lf: LogicalForm | None) -> str:
    """``aggregation`` if it has one, else ``where_filters`` if it has conditions, else ``simple_select``.

    ``other`` is a gold query that has no logical form.
    """
    if lf is None:
        return "other"
    if lf.agg:
        return "aggregation"
    return "where_filters" if lf.conds else "simple_select"


def facets(lf: LogicalForm | None, schema: Schema) -> dict[str, str]:
    """The value of each of :data:`FACETS`: ``{"conditions": "2", "operator": "=", ...}``; ``other`` without a form."""
    if lf is None:
        return dict.fromkeys(FACETS, "other")
    return {
        "conditions": str(len(lf.conds)),
        "operator": _operators(lf),
        "aggregation": _pick(AGGREGATIONS, lf.agg) or "none",
        "column_type": _pick([column.type for column in schema.tables[0].columns], lf.sel),
    }


def _operators(lf: LogicalForm) -> str:
    used = {_pick(OPERATORS, condition.op) for condition in lf.conds}
    if not used:
        return "none"
    return used.pop() if len(used) == 1 else "mixed"


def _pick(known: list[str] | tuple[str, ...], index: int) -> str:
    """A gold may be out of range; it is then a value of its own."""
    return known[index] if 0 <= index < len(known) else "out of range"
