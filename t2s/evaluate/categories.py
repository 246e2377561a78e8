"""The kinds of question that results are told apart by; each gold query has exactly one."""

from __future__ import annotations

from t2s.sql.core import LogicalForm

CATEGORIES = ("simple_select", "where_filters", "aggregation", "other")


def category(lf: LogicalForm | None) -> str:
    """``aggregation`` if it has one, else ``where_filters`` if it has conditions, else ``simple_select``.

    ``other`` is a gold query that has no logical form.
    """
    if lf is None:
        return "other"
    if lf.agg:
        return "aggregation"
    return "where_filters" if lf.conds else "simple_select"
