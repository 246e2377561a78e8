"""WikiSQL's own scoring, one example at a time: its ``evaluate.py``, ``lib/dbengine.py``, ``lib/query.py``.

Its faults are kept, since a score compares with the published ones only if it shares them: a second
condition on one column overwrites the value of the first, an aggregation of -1 is AVG, a number loses a
typographic minus. :mod:`t2s.sql.repaired` scores without them. One difference: a selected column that the
table does not have is refused before SQLite sees it, so that no prediction can smuggle SQL into the query.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from babel.numbers import NumberFormatError, parse_decimal

from t2s.errors import DataError, SQLError
from t2s.sql.core import AGGREGATIONS, LogicalForm
from t2s.sql.database import read_only_uri

_OFFICIAL_OPERATORS = ("=", ">", "<", "OP")
"""With the fourth entry of the official table, which makes SQL that does not parse."""

_SCHEMA = re.compile(r"\((.+)\)")
_NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+")

RawCondition = Sequence[Any]
"""``[column, op, value]`` as it stands in a prediction file: anything."""

Row = tuple[Any, ...]


class OfficialEngine:
    """Runs logical forms on a ``.db`` of the official layout. Thread safe; close it, or use ``with``."""

    def __init__(self, database: Path) -> None:
        if not database.is_file():
            raise DataError(f"{database}: no such database file")
        try:
            self._connection = sqlite3.connect(read_only_uri(database), uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise DataError(f"{database}: cannot be read as a SQLite database ({error})") from error
        self._database = database
        self._lock = threading.Lock()
        self._declared: dict[str, str] | None = None
        self._types: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def execute(self, table_id: str, lf: LogicalForm, lower: bool = True) -> list[Any]:
        """The values of the one result column, in row order.

        Raise :class:`SQLError` wherever the official engine raises anything.
        """
        return [value for (value,) in self.execute_rows(table_id, lf, lower)]

    def execute_raw(self, table_id: str, query: Mapping[str, Any], lower: bool = True) -> list[Any]:
        """As :meth:`execute`, for a ``{sel, agg, conds}`` straight from a prediction file, of any types."""
        return [value for (value,) in self.execute_rows(table_id, query, lower)]

    def execute_rows(self, table_id: str, query: LogicalForm | Mapping[str, Any], lower: bool = True) -> list[Row]:
        """As :meth:`execute` and :meth:`execute_raw`, the rows as SQLite gives them."""
        try:
            if isinstance(query, LogicalForm):
                conds = [(condition.column, condition.op, condition.value) for condition in query.conds]
                return self._execute(table_id, query.sel, query.agg, conds, lower)
            return self._execute(table_id, query["sel"], query["agg"], query["conds"], lower)
        except Exception as error:
            # Predictions hold anything, and the official script counts whatever exception comes as wrong.
            raise SQLError(f"table {table_id}: the query {query!r} cannot run ({error!r})") from error

    def column_types(self, table_id: str) -> dict[str, str]:
        """``{"col0": "text", ...}`` as declared; :class:`DataError` if there is no such table."""
        types = self._types.get(table_id)
        if types is None:
            name = physical_name(table_id)
            declared = self._declarations().get(name)
            if declared is None:
                raise DataError(f"{self._database}: no table {name}")
            columns = _SCHEMA.findall(declared)[0].split(", ")
            types = self._types[table_id] = dict(column.split() for column in columns)
        return types

    def _declarations(self) -> dict[str, str]:
        """The CREATE statements by table; of a table and its indexes the table comes first."""
        if self._declared is None:
            with self._lock:
                rows = self._connection.execute("SELECT tbl_name, sql FROM sqlite_master").fetchall()
            # Once for all: looking each up would read the whole list for every table.
            self._declared = {name: sql for name, sql in reversed(rows) if sql is not None}
        return self._declared

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of a query of ours, its values bound."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def _execute(self, table_id: str, sel: Any, agg: Any, conds: Iterable[RawCondition], lower: bool) -> list[Row]:
        types = self.column_types(table_id)
        selected = f"col{sel}"
        if selected not in types:
            raise SQLError(f"no such column: {selected}")
        aggregation = AGGREGATIONS[agg]
        if aggregation:
            selected = f"{aggregation}({selected})"
        clauses = []
        bound = {}
        for column, op, value in conds:
            name = f"col{column}"
            # One parameter a column, not a condition: this is the fault that loses the first of two values.
            bound[name] = cast_value(value, types[name], lower)
            clauses.append(f"{name} {_OFFICIAL_OPERATORS[op]} :{name}")
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        return self.rows(f"SELECT {selected} AS result FROM {physical_name(table_id)} {where}", bound)


@functools.lru_cache(maxsize=4096)
def physical_name(table_id: str) -> str:
    """``1-1000181-1`` is ``table_1_1000181_1`` in the database."""
    return table_id if table_id.startswith("table") else f"table_{table_id.replace('-', '_')}"


def cast_value(value: Any, column_type: str, lower: bool = True) -> Any:
    """A condition's value as it is bound: strings in lower case, and as numbers for a ``real`` column.

    ``"1,200"`` is 1200.0, ``"$3.2m"`` is 3.2; raise what the official engine raises for ``"abc"``.
    """
    if lower and isinstance(value, str):
        value = value.lower()
    if column_type != "real" or isinstance(value, int | float):
        return value
    try:
        return float(parse_decimal(value, locale="en_US"))
    except NumberFormatError:
        return float(_NUMBER.findall(value)[0])


def official_lf_match(pred: LogicalForm, gold: LogicalForm, ordered: bool = False) -> bool:
    """Same column, aggregation and set of conditions (list if ``ordered``), values as lower-case text."""
    if pred.sel != gold.sel or pred.agg != gold.agg:
        return False
    ours, theirs = ([(c.column, c.op, str(c.value).lower()) for c in lf.conds] for lf in (pred, gold))
    return ours == theirs if ordered else set(ours) == set(theirs)


def raw_lf_match(pred: Any, gold: Mapping[str, Any], ordered: bool = False) -> bool:
    """As :func:`official_lf_match` for raw ``{sel, agg, conds}``; what has not that shape does not match."""
    try:
        same = pred["sel"] == gold["sel"] and pred["agg"] == gold["agg"]
        return bool(same) and _comparable(pred["conds"], ordered) == _comparable(gold["conds"], ordered)
    except (KeyError, TypeError, ValueError):
        return False


def score_raw(
    engine: OfficialEngine | None,
    table_id: str,
    gold: Mapping[str, Any],
    prediction: Mapping[str, Any],
    ordered: bool = False,
) -> tuple[bool | None, bool]:
    """(ex, lf) of one line ``{"query": {...}}`` or ``{"error": ...}`` of a prediction file.

    ``ex`` is None without an ``engine``. Raise :class:`SQLError` if the gold itself cannot run.
    """
    failed = bool(prediction.get("error"))
    query = None if failed else prediction.get("query")
    lf = raw_lf_match(query, gold, ordered)
    if engine is None:
        return None, lf
    expected = engine.execute_raw(table_id, gold)
    if query is None:
        return False, lf
    try:
        return engine.execute_raw(table_id, query) == expected, lf
    except SQLError:
        return False, lf


def _comparable(conds: Iterable[RawCondition], ordered: bool) -> Any:
    listed = [(column, op, str(value).lower()) for column, op, value in conds]
    return listed if ordered else set(listed)
