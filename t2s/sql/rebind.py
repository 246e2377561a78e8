"""SQL outside WikiSQL's form, rewritten for the official layout: its table is ``table_<id>``, its columns are
``col0``, ``col1``, ..., and all text is in lower case.

It renames and nothing else: whether the result may run is for the sandbox to say. What the official engine does to the
values of conditions is done to literals that are compared: strings become lower case, and beside a ``real`` column
a string becomes the number that it is read as (``'1,200'`` is 1200). Strings inside functions
(``strftime('%Y', ...)``) stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from t2s.sql.core import Table
from t2s.sql.official import cast_value, physical_name
from t2s.sql.parse import Names, is_misquoted_value, names_of
from t2s.sql.syntax import SyntaxFailure, UnknownColumn, read_query

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Glob)


def rebind(sql: str, table: Table, table_id: str) -> str:
    """``sql`` over ``table`` as SQL over the physical table ``table_id`` of a ``.db`` in the official layout.

    Raise a :class:`ParseFailure` if it does not parse, is no single query, or names unknown tables or
    columns.
    """
    names = names_of(table)
    tree = read_query(sql, names.names)
    try:
        return _Rebinder(sql, names, table, physical_name(table_id)).rewrite(tree)
    except (SqlglotError, RecursionError) as error:
        raise SyntaxFailure(f"the names of this SQL cannot be resolved ({type(error).__name__})") from error


class _Rebinder:
    def __init__(self, sql: str, names: Names, table: Table, physical: str) -> None:
        self.sql = sql
        self.names = names
        self.physical = physical
        self.types = [column.type for column in table.columns]
        self.known_tables = {table.name.casefold(), physical.casefold(), "table"}
        self.done: set[int] = set()

    def rewrite(self, tree: exp.Expr) -> str:
        self.aliases = {alias.casefold() for alias in _aliases(tree)}
        self._values(tree)
        scopes = traverse_scope(tree)
        for scope in scopes:
            self._stars(scope)
        for scope in traverse_scope(tree):
            for column in scope.columns:
                if id(column) not in self.done:
                    self._column(column, scope)
        self._leftovers(tree)
        self._tables(tree, scopes)
        return tree.sql(dialect="sqlite", identify=True)

    def _values(self, tree: exp.Expr) -> None:
        """Values in double quotes become strings, and compared strings lower case."""
        for column in list(tree.find_all(exp.Column)):
            known = column.name.casefold() in self.aliases
            if _is_compared(column) and not known and is_misquoted_value(column, self.names, self.sql):
                column.replace(exp.Literal.string(column.name))
        for literal in tree.find_all(exp.Literal):
            if literal.is_string and _is_compared(literal) and not _beside_upper(literal):
                literal.set("this", literal.name.lower())

    def _stars(self, scope: Scope) -> None:
        """``SELECT *`` of the one table becomes its columns by name, which an outer query may use."""
        if len(scope.selected_sources) != 1 or not _base_names(scope):
            return
        expanded: list[exp.Expr] = []
        for projection in scope.expression.expressions:
            is_star = isinstance(projection, exp.Star)
            expanded += [_column_named(name) for name in self.names.names] if is_star else [projection]
        scope.expression.set("expressions", expanded)

    def _column(self, column: exp.Column, scope: Scope) -> None:
        base = _base_names(scope)
        sources = {name.casefold() for name in scope.selected_sources}
        qualifier = column.table.casefold()
        index = self.names.find(column.name)
        if qualifier in base or (not qualifier and base and index is not None):
            if index is None:
                raise self.names.unknown(column.name)
            self._rename(column, index)
        elif qualifier in sources or (not qualifier and self._is_defined(column, scope, len(sources) > len(base))):
            self.done.add(id(column))
        # Anything else may belong to a query around this one, whose scope comes later.

    def _is_defined(self, column: exp.Column, scope: Scope, has_derived: bool) -> bool:
        """Whether a name that is no column of a base table comes from a subquery, an alias or a UNION."""
        return has_derived or column.name.casefold() in self.aliases or not scope.selected_sources

    def _rename(self, column: exp.Column, index: int) -> None:
        self.done.add(id(column))
        if self.types[index] == "real":
            _read_numbers(column)
        written = column.name
        column.set("this", exp.to_identifier(f"col{index}", quoted=True))
        if isinstance(column.parent, exp.Select) and column.arg_key == "expressions":
            alias = exp.alias_(column.copy(), exp.to_identifier(written, quoted=True))
            self.done.add(id(alias.this))
            column.replace(alias)

    def _leftovers(self, tree: exp.Expr) -> None:
        """ORDER BY and HAVING may use what SELECT names, which the columns of a scope leave out."""
        named = {alias.casefold() for alias in _aliases(tree)}
        for column in tree.find_all(exp.Column):
            if id(column) not in self.done and column.name.casefold() not in named:
                raise self.names.unknown(column.name)

    def _tables(self, tree: exp.Expr, scopes: list[Scope]) -> None:
        bases = [source for scope in scopes for _, source in scope.selected_sources.values()]
        tables = [source for source in bases if isinstance(source, exp.Table)]
        # The name does not matter while there is only one, as in the logical form; a second one is made up.
        distinct = {source.name.casefold() for source in tables}
        for source in tables:
            if len(distinct) > 1 and source.name.casefold() not in self.known_tables:
                raise UnknownColumn(f"no table {source.name!r}")
        for source in {id(source): source for source in tables}.values():
            if not source.alias:
                source.set("alias", exp.TableAlias(this=exp.to_identifier(source.name, quoted=True)))
            source.set("this", exp.to_identifier(self.physical, quoted=True))
            source.set("db", None)


def _read_numbers(column: exp.Column) -> None:
    """Strings that are compared with ``column``, which holds numbers, become numbers where they can be read so."""
    tree: exp.Expr = column
    while isinstance(tree.parent, exp.Paren):
        tree = tree.parent
    parent = tree.parent
    compared: list[exp.Expr] = []
    if isinstance(parent, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)):
        compared = [parent.this, parent.expression]
    elif isinstance(parent, exp.Between):
        compared = [parent.args["low"], parent.args["high"]]
    elif isinstance(parent, exp.In):
        compared = list(parent.expressions)
    for literal in compared:
        bare = literal.unnest()
        if isinstance(bare, exp.Literal) and bare.is_string:
            _read_number(bare)


def _read_number(literal: exp.Literal) -> None:
    try:
        number = cast_value(literal.name, "real")
    except (IndexError, ValueError):
        return  # no number in it: SQLite compares it as the text that it is
    if math.isfinite(number):
        literal.replace(exp.Literal.number(repr(number)))


def _base_names(scope: Scope) -> set[str]:
    found = scope.selected_sources.items()
    return {name.casefold() for name, (_, source) in found if isinstance(source, exp.Table)}


def _column_named(name: str) -> exp.Column:
    return exp.Column(this=exp.to_identifier(name, quoted=True))


def _beside_upper(literal: exp.Literal) -> bool:
    """Whether ``literal`` is compared with UPPER(...), which undoes the lower case of the database."""
    return literal.parent is not None and literal.parent.find(exp.Upper) is not None


def _aliases(tree: exp.Expr) -> Iterator[str]:
    for alias in tree.find_all(exp.Alias):
        yield alias.alias
    for table_alias in tree.find_all(exp.TableAlias):
        yield from (column.name for column in table_alias.columns)


def _is_compared(tree: exp.Expr) -> bool:
    """Whether ``tree`` is the right side of a comparison, in a list of IN, or an end of BETWEEN."""
    parent = tree.parent
    while isinstance(parent, exp.Paren):
        tree, parent = parent, parent.parent
    if isinstance(parent, exp.In):
        return tree.arg_key == "expressions"
    if isinstance(parent, exp.Between):
        return tree.arg_key in ("low", "high")
    return isinstance(parent, _COMPARISONS) and (tree.arg_key == "expression" or isinstance(tree, exp.Literal))
