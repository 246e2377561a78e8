"""SQL text to a logical form, whatever way the model likes to write it.

Accepted: any quoting, case and spacing, parentheses, a table alias, a qualified column, ``==``, a value on
the left, a value in double quotes where no column has that name (SQLite reads it as a string too). The name
of the table is not compared, since the form has only one; :func:`selected_table` tells it. A header that repeats
a name is addressed by :func:`t2s.sql.schema.sql_names`; the bare repeated name is the first such column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from sqlglot import exp

from t2s.errors import suggest
from t2s.sql.canonical import read_canonical
from t2s.sql.core import AGGREGATIONS, OPERATORS, Condition, LogicalForm, Table, Value
from t2s.sql.schema import sql_names
from t2s.sql.syntax import NotWikiSQLForm, ParseFailure, SyntaxFailure, UnknownColumn, quote_of, read_query

__all__ = [
    "Names",
    "NotWikiSQLForm",
    "ParseFailure",
    "SyntaxFailure",
    "UnknownColumn",
    "names_of",
    "parse",
    "parse_with_table",
    "selected_table",
]

_AGGREGATION_CLASSES: dict[type[exp.Expr], str] = {
    exp.Max: "MAX",
    exp.Min: "MIN",
    exp.Count: "COUNT",
    exp.Sum: "SUM",
    exp.Avg: "AVG",
}
_OPERATOR_CLASSES: dict[type[exp.Expr], str] = {exp.EQ: "=", exp.GT: ">", exp.LT: "<"}
_MIRRORED = {"=": "=", ">": "<", "<": ">"}
_INTEGER = re.compile(r"[0-9]+")
_FLOAT = re.compile(r"(?=[.0-9])[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 400
_PARTS = frozenset({"expressions", "from_", "where"})


def _squeezed(name: str) -> str:
    return " ".join(name.casefold().split())


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, str.casefold, _squeezed)


class Names:
    """The columns of one table by name: as written first, then in any case, then with any spacing."""

    def __init__(self, table: Table) -> None:
        self.names = sql_names(table)
        self._indices: list[dict[str, int]] = []
        for spelling in _SPELLINGS:
            # Reversed, so that the first of several columns with one spelling stays.
            numbered = reversed(list(enumerate(self.names)))
            self._indices.append({spelling(name): index for index, name in numbered})
        self.exact = self._indices[0]

    def find(self, name: str) -> int | None:
        """The index of the column that ``name`` means, or None."""
        for spelling, index in zip(_SPELLINGS, self._indices, strict=True):
            if (spelled := spelling(name)) in index:
                return index[spelled]
        return None

    def unknown(self, name: str) -> UnknownColumn:
        """The error for a name that is no column."""
        listed = ", ".join(repr(n) for n in self.names[:12])
        return UnknownColumn(f"no column {name!r}{suggest(name, self.names)}; there are: {listed}")


def names_of(table: Table) -> Names:
    """The names of ``table``, kept for the next question over the same object."""
    kept = _NAMES.get(id(table))
    if kept is None:
        if len(_NAMES) >= _MAX_KEPT:
            _NAMES.clear()
        # The table is kept too, so that its id stays its own.
        kept = _NAMES[id(table)] = (table, Names(table))
    return kept[1]


_MAX_KEPT = 4096
_NAMES: dict[int, tuple[Table, Names]] = {}


def parse(sql: str, table: Table) -> LogicalForm:
    """The logical form of ``sql`` over ``table``, conditions in their order.

    Raise a :class:`ParseFailure`: :class:`SyntaxFailure`, :class:`UnknownColumn` or :class:`NotWikiSQLForm`.
    """
    return parse_with_table(sql, table)[0]


def selected_table(sql: str, table: Table) -> str:
    """The name after FROM, as written. ``sql`` is one that :func:`parse` accepts over ``table``."""
    return parse_with_table(sql, table)[1]


def parse_with_table(sql: str, table: Table) -> tuple[LogicalForm, str]:
    """The logical form and the name after FROM, in one reading; raises as :func:`parse`."""
    names = names_of(table)
    return read_canonical(sql, names.names, names.exact) or parse_any(sql, names)


def parse_any(sql: str, names: Names) -> tuple[LogicalForm, str]:
    """As :func:`parse_with_table`, always by way of the syntax tree."""
    try:
        reader = _Reader(sql, names)
        tree = read_query(sql, names.names)
        return reader.read(tree), reader.table
    except RecursionError as error:
        raise SyntaxFailure("the SQL nests too deeply") from error


def _bare(tree: exp.Expr | None) -> exp.Expr | None:
    while isinstance(tree, exp.Paren):
        tree = tree.this
    return tree


class _Reader:
    """Reads one tree; ``sql`` is its text, ``names`` the columns of its table."""

    def __init__(self, sql: str, names: Names) -> None:
        self.sql = sql
        self.names = names
        self.alias = ""
        self.table = ""

    def read(self, tree: exp.Expr) -> LogicalForm:
        query = self._query(tree)
        self.alias = self._table_alias(query)
        agg, sel = self._selected(query)
        where = query.args.get("where")
        conds = tuple(self._condition(part) for part in _conjuncts(where.this)) if where else ()
        return LogicalForm(sel, agg, conds)

    def _query(self, tree: exp.Expr) -> exp.Select:
        while isinstance(tree, exp.Subquery) and not tree.args.get("alias"):
            tree = tree.this
        if not isinstance(tree, exp.Select):
            raise NotWikiSQLForm(f"not a plain SELECT but {tree.key.upper()}")
        extra = [key for key, value in tree.args.items() if value and key not in _PARTS]
        if extra:
            raise NotWikiSQLForm(f"WikiSQL's form has no {extra[0].rstrip('_').upper()}")
        return tree

    def _table_alias(self, query: exp.Select) -> str:
        source = query.args["from_"].this if query.args.get("from_") else None
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
            raise NotWikiSQLForm("WikiSQL's form selects from one table")
        extra = [k for k, value in source.args.items() if value and k not in {"this", "alias", "db", "catalog"}]
        if extra:
            raise NotWikiSQLForm(f"WikiSQL's form has no {extra[0].upper()}")
        self.table = str(source.name)
        return str(source.alias_or_name)

    def _selected(self, query: exp.Select) -> tuple[int, int]:
        if len(query.expressions) != 1:
            raise NotWikiSQLForm(f"WikiSQL's form selects one column, not {len(query.expressions)}")
        first = query.expressions[0]
        tree = _bare(first.this if isinstance(first, exp.Alias) else first)
        aggregation = _AGGREGATION_CLASSES.get(type(tree), "") if tree else ""
        if tree and aggregation:
            if tree.args.get("expressions"):
                raise NotWikiSQLForm(f"{aggregation} of several columns")
            tree = _bare(tree.this)
        return AGGREGATIONS.index(aggregation), self._column(tree)

    def _column(self, tree: exp.Expr | None) -> int:
        if not isinstance(tree, exp.Column) or not isinstance(tree.this, exp.Identifier):
            found = tree.sql(dialect="sqlite")[:60] if tree is not None else "nothing"
            raise NotWikiSQLForm(f"expected a column, found {found}")
        if tree.table and tree.table.casefold() != self.alias.casefold():
            raise UnknownColumn(f"no table {tree.table!r} in this query, which selects from {self.alias!r}")
        index = self.names.find(tree.name)
        if index is None:
            raise self.names.unknown(tree.name)
        return index

    def _condition(self, tree: exp.Expr) -> Condition:
        operator = _OPERATOR_CLASSES.get(type(tree))
        if operator is None:
            raise NotWikiSQLForm(f"WikiSQL's form has no {tree.key.upper()} among its conditions")
        left, right = _bare(tree.args["this"]), _bare(tree.args["expression"])
        if _is_literal(left) and not _is_literal(right):
            left, right, operator = right, left, _MIRRORED[operator]
        column = self._column(left)
        return Condition(column, OPERATORS.index(operator), self._value(right))

    def _value(self, tree: exp.Expr | None) -> Value:
        if isinstance(tree, exp.Literal):
            return tree.name if tree.is_string else _number(tree.name)
        if isinstance(tree, exp.Neg) and isinstance(inner := _bare(tree.this), exp.Literal) and not inner.is_string:
            return -_number(inner.name)
        if isinstance(tree, exp.Column) and is_misquoted_value(tree, self.names, self.sql):
            return tree.name
        if isinstance(tree, exp.Column):
            self._column(tree)
        found = tree.sql(dialect="sqlite")[:60] if tree is not None else "nothing"
        raise NotWikiSQLForm(f"expected a string or a number to compare with, found {found}")


def is_misquoted_value(tree: exp.Column, names: Names, sql: str) -> bool:
    """Whether ``tree``, on the right of a comparison, is a double-quoted string and no column."""
    identifier = tree.this
    bare = isinstance(identifier, exp.Identifier) and not tree.table
    return bare and quote_of(identifier, sql) == '"' and names.find(tree.name) is None


def _conjuncts(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of nested ANDs, left to right."""
    stack: list[exp.Expr | None] = [tree]
    while stack:
        part = _bare(stack.pop())
        if isinstance(part, exp.And):
            stack += [part.args["expression"], part.this]
        elif part is not None:
            yield part


def _is_literal(tree: exp.Expr | None) -> bool:
    return isinstance(tree, exp.Literal) or (isinstance(tree, exp.Neg) and isinstance(tree.this, exp.Literal))


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    raise NotWikiSQLForm(f"{text[:40]!r} is not a number that a condition can hold")
