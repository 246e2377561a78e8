"""WikiSQL's execution without its faults, as a second score beside the official one.

Every condition keeps its own value, even if two are on one column; a column, aggregation or operator out
of range is an error, and so is an index that is no whole number. Lower-casing and the reading of numbers stay the
official ones: they are not faults, the databases are made for them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from t2s.errors import SQLError
from t2s.sql.core import AGGREGATIONS, OPERATORS, Condition, LogicalForm
from t2s.sql.official import OfficialEngine, Row, cast_value, physical_name


def execute_repaired(engine: OfficialEngine, table_id: str, lf: LogicalForm, lower: bool = True) -> list[Any]:
    """The values of the one result column, in row order; raise :class:`SQLError` if ``lf`` cannot run."""
    return [value for (value,) in repaired_rows(engine, table_id, lf, lower)]


def repaired_rows(engine: OfficialEngine, table_id: str, lf: LogicalForm, lower: bool = True) -> list[Row]:
    """As :func:`execute_repaired`, the rows as SQLite gives them."""
    types = list(engine.column_types(table_id).values())
    check_indices(lf, len(types))
    bound = {f"value{i}": _value(c.value, types[c.column], lower) for i, c in enumerate(lf.conds)}
    clauses = [f"col{c.column} {OPERATORS[c.op]} :value{i}" for i, c in enumerate(lf.conds)]
    aggregation = AGGREGATIONS[lf.agg]
    selected = f"{aggregation}(col{lf.sel})" if aggregation else f"col{lf.sel}"
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    try:
        return engine.rows(f"SELECT {selected} FROM {physical_name(table_id)}{where}", bound)
    except (sqlite3.Error, OverflowError, ValueError) as error:
        # A model also writes numbers that SQLite cannot hold, and halves of surrogate pairs.
        raise SQLError(f"table {table_id}: {lf} cannot run ({error})") from error


def strict_form(raw: Any) -> LogicalForm:
    """The logical form of a ``{sel, agg, conds}`` whose indices are whole numbers; else :class:`SQLError`.

    :meth:`LogicalForm.from_dict` is for trusted files: it would take ``"1"`` and 1.7 for 1.
    """
    try:
        conds = tuple(Condition(_index(c), _index(o), v) for c, o, v in raw["conds"])
        return LogicalForm(_index(raw["sel"]), _index(raw["agg"]), conds)
    except (KeyError, TypeError, ValueError) as error:
        raise SQLError(f"not a logical form {{sel, agg, conds}}: {str(raw)[:200]} ({error})") from error


def runs_as_official(lf: LogicalForm, num_columns: int) -> bool:
    """Whether both rules run the very same query on ``lf``, so that once is enough: the faults do not touch it."""
    seen = set()
    for condition in lf.conds:
        column = condition.column
        if not 0 <= column < num_columns or column in seen or not 0 <= condition.op < len(OPERATORS):
            return False
        if type(condition.value) not in (str, int, float):
            return False
        seen.add(column)
    return 0 <= lf.sel < num_columns and 0 <= lf.agg < len(AGGREGATIONS)


def check_indices(lf: LogicalForm, num_columns: int) -> None:
    """Raise :class:`SQLError` for a column, aggregation or operator that is not there."""
    indices = [("column", lf.sel, num_columns), ("aggregation", lf.agg, len(AGGREGATIONS))]
    for condition in lf.conds:
        indices += [("column", condition.column, num_columns), ("operator", condition.op, len(OPERATORS))]
    for what, index, count in indices:
        if not 0 <= index < count:
            raise SQLError(f"{what} {index} is out of range: there are {count}, counted from 0")


def _index(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no index")
    return value


def _value(value: object, column_type: str, lower: bool) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SQLError(f"a condition compares with a string or a number, not {value!r}")
    try:
        return cast_value(value, column_type, lower)
    except (IndexError, ValueError) as error:
        raise SQLError(f"{value!r} is no number, and its column holds numbers") from error
