"""WikiSQL's execution without its faults, as a second score beside the official one.

Every condition keeps its own value, even if two are on one column; a column, aggregation or operator out
of range is an error. Lower-casing and the reading of numbers stay the official ones: they are not faults, the
databases are made for them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from t2s.errors import SQLError
from t2s.sql.core import AGGREGATIONS, OPERATORS, LogicalForm
from t2s.sql.official import OfficialEngine, cast_value, physical_name


def execute_repaired(engine: OfficialEngine, table_id: str, lf: LogicalForm, lower: bool = True) -> list[Any]:
    """The values of the one result column, in row order; raise :class:`SQLError` if ``lf`` cannot run."""
    types = list(engine.column_types(table_id).values())
    _check(lf, len(types))
    bound = {f"value{i}": _value(c.value, types[c.column], lower) for i, c in enumerate(lf.conds)}
    clauses = [f"col{c.column} {OPERATORS[c.op]} :value{i}" for i, c in enumerate(lf.conds)]
    aggregation = AGGREGATIONS[lf.agg]
    selected = f"{aggregation}(col{lf.sel})" if aggregation else f"col{lf.sel}"
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    try:
        return engine.run(f"SELECT {selected} FROM {physical_name(table_id)}{where}", bound)
    except (sqlite3.Error, OverflowError, ValueError) as error:
        # A model also writes numbers that SQLite cannot hold, and halves of surrogate pairs.
        raise SQLError(f"table {table_id}: {lf} cannot run ({error})") from error


def _check(lf: LogicalForm, num_columns: int) -> None:
    indices = [("column", lf.sel, num_columns), ("aggregation", lf.agg, len(AGGREGATIONS))]
    for condition in lf.conds:
        indices += [("column", condition.column, num_columns), ("operator", condition.op, len(OPERATORS))]
    for what, index, count in indices:
        if not 0 <= index < count:
            raise SQLError(f"{what} {index} is out of range: there are {count}, counted from 0")


def _value(value: object, column_type: str, lower: bool) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SQLError(f"a condition compares with a string or a number, not {value!r}")
    try:
        return cast_value(value, column_type, lower)
    except (IndexError, ValueError) as error:
        raise SQLError(f"{value!r} is no number, and its column holds numbers") from error
