"""Logical form to SQL: the one spelling that the model is taught and that the grammar allows.

SELECT COUNT("Name") FROM "table" WHERE "Salary" > 5 AND "City" = 'Oslo'
"""

from __future__ import annotations

import math

from t2s.errors import SQLError
from t2s.sql.core import AGGREGATIONS, OPERATORS, Condition, LogicalForm, Table, Value
from t2s.sql.schema import quote_name, sql_names


def render(lf: LogicalForm, table: Table) -> str:
    """SQL with the table's own names, always quoted; a number stays bare, a string stays a string.

    Raise :class:`SQLError` for an index that the table, the aggregations or the operators do not have.
    """
    return render_names(lf, sql_names(table), table.name)


def render_names(lf: LogicalForm, names: tuple[str, ...], table_name: str) -> str:
    """As :func:`render`, over columns of these distinct names."""
    selected = quote_name(_pick(names, lf.sel, "column"))
    aggregation = _pick(AGGREGATIONS, lf.agg, "aggregation")
    if aggregation:
        selected = f"{aggregation}({selected})"
    where = " AND ".join(_condition(condition, names) for condition in lf.conds)
    return f"SELECT {selected} FROM {quote_name(table_name)}" + (f" WHERE {where}" if where else "")


def render_value(value: Value) -> str:
    """``'O''Brien'``, ``5`` or ``0.5``; raise :class:`SQLError` for what SQL has no literal for."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    # A bool is an int to Python, but no value of a WikiSQL condition.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SQLError(f"a condition compares with a string or a finite number, not {value!r}")
    return repr(value)


def _condition(condition: Condition, names: tuple[str, ...]) -> str:
    name = quote_name(_pick(names, condition.column, "column"))
    return f"{name} {_pick(OPERATORS, condition.op, 'operator')} {render_value(condition.value)}"


def _pick(allowed: tuple[str, ...], index: int, what: str) -> str:
    if not 0 <= index < len(allowed):
        raise SQLError(f"{what} {index} is out of range: there are {len(allowed)}, counted from 0")
    return allowed[index]
