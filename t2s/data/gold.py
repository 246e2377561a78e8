"""Judge a user's gold SQL by its text: one query, in the database's dialect, over names that the schema has.

Names are looked up query-wide, not scope by scope: a column of another subquery's table passes here. Whether the
query runs and finds something is for ``t2s data check``, which runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sqlglot import exp

from t2s.data.lines import LineFault
from t2s.errors import SQLError, suggest
from t2s.sql.core import LogicalForm, Schema
from t2s.sql.database import Engine
from t2s.sql.parse import NotWikiSQLForm, SyntaxFailure, parse
from t2s.sql.syntax import quote_of, read_query

Node = TypeVar("Node", bound=exp.Expr)

_ROW_IDS = frozenset({"rowid", "oid", "_rowid_"})
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.LT, exp.GTE, exp.LTE, exp.Like, exp.Glob, exp.In, exp.Between)
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Into, exp.Command)
_WITH_OWN_NAMES = (exp.Lambda, exp.Unnest, exp.Lateral, exp.Pivot, exp.Values)
"""Parts of a query that make names of their own, which only running it can check."""


def read_gold(sql: str, schema: Schema, dialect: Engine = "sqlite") -> LogicalForm | None:
    """The logical form of ``sql`` if it has one. Raise :class:`LineFault` for what is no query over ``schema``."""
    try:
        tree = read_query(sql, [column.name for table in schema.tables for column in table.columns], dialect=dialect)
        nodes = tuple(tree.walk())  # once: walking costs as much as parsing
        for node in nodes:
            if isinstance(node, _WRITES):
                raise SQLError(f"expected a query that only reads; it holds {node.key.upper()}")
        _check_names(nodes, sql, schema, dialect)
        return _form(sql, schema, dialect)
    except SQLError as error:
        raise LineFault(f"field 'sql': {error}") from error


def template(question: str, sql: str, dialect: Engine = "sqlite") -> str:
    """``question`` with the values of ``sql`` and all digits masked: alike for questions that differ in values only."""
    masked = " ".join(question.casefold().split())
    values = {literal.name.casefold() for literal in read_query(sql, dialect=dialect).find_all(exp.Literal)}
    for value in sorted(values - {""}, key=len, reverse=True):
        masked = masked.replace(value, "#")
    return "".join("#" if char.isdigit() else char for char in masked)


def _form(sql: str, schema: Schema, dialect: Engine) -> LogicalForm | None:
    if len(schema.tables) != 1:
        return None
    try:
        return parse(sql, schema.table)
    except NotWikiSQLForm:
        return None
    except SyntaxFailure:
        if dialect == "sqlite":
            raise
        return None  # what only DuckDB's grammar takes is outside WikiSQL's form


@dataclass
class _Sources:
    """What a query reads from: columns by the table's name or alias, names that it defines itself."""

    columns: dict[str, set[str]] = field(default_factory=dict)
    derived: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    has_functions: bool = False
    """Whether a function stands for a table (``json_each``), whose columns only the engine knows."""


def _check_names(nodes: tuple[exp.Expr, ...], sql: str, schema: Schema, dialect: Engine) -> None:
    sources = _sources(nodes, schema)
    if any(isinstance(node, _WITH_OWN_NAMES) for node in nodes):
        return
    known = set().union(sources.named, sources.columns, _ROW_IDS, *sources.columns.values())
    for column in _all(nodes, exp.Column):
        name, qualifier = column.name.casefold(), column.table.casefold()
        if isinstance(column.this, exp.Star) or (dialect == "duckdb" and qualifier in known):
            continue  # the second is a field of a struct
        if qualifier:
            _check_qualified(column, name, qualifier, sources)
        elif not (name in known or sources.has_functions or "(" in name or _is_value(column, sql, dialect)):
            raise SQLError(f"no column {column.name!r}{_near(column.name, schema)}")


def _sources(nodes: tuple[exp.Expr, ...], schema: Schema) -> _Sources:
    known = {table.name.casefold(): {column.name.casefold() for column in table.columns} for table in schema.tables}
    found = _Sources()
    found.derived = {cte.alias.casefold() for cte in _all(nodes, exp.CTE)}
    found.derived |= {query.alias.casefold() for query in _all(nodes, exp.Subquery) if query.alias}
    found.named = {alias.alias.casefold() for alias in _all(nodes, exp.Alias)}
    for alias in _all(nodes, exp.TableAlias):
        found.named |= {column.name.casefold() for column in alias.columns}
    for table in _all(nodes, exp.Table):
        name = table.name.casefold()
        if not isinstance(table.this, exp.Identifier) or (name in found.derived and name not in known):
            found.derived.add(table.alias_or_name.casefold())
            found.has_functions |= not isinstance(table.this, exp.Identifier)
        elif name not in known:
            names = [known_table.name for known_table in schema.tables]
            listed = ", ".join(names[:20])
            raise SQLError(f"unknown table {table.name!r}{suggest(table.name, names)}; known: {listed}")
        else:
            found.columns.setdefault(table.alias_or_name.casefold(), set()).update(known[name])
    return found


def _all(nodes: tuple[exp.Expr, ...], kind: type[Node]) -> Iterator[Node]:
    return (node for node in nodes if isinstance(node, kind))


def _check_qualified(column: exp.Column, name: str, qualifier: str, sources: _Sources) -> None:
    if qualifier in sources.derived:
        return
    if qualifier not in sources.columns:
        raise SQLError(f"{column.table!r} in {column.sql()} is no table of the query")
    if name not in sources.columns[qualifier] | _ROW_IDS:
        raise SQLError(f"no column {column.name!r} in {column.table}{suggest(name, sources.columns[qualifier])}")


def _is_value(column: exp.Column, sql: str, dialect: Engine) -> bool:
    """Whether SQLite reads an unknown name in double quotes as a value: ``WHERE city = "Oslo"``."""
    if dialect != "sqlite" or not isinstance(column.this, exp.Identifier) or not column.this.quoted:
        return False
    right = column.arg_key in ("expression", "expressions", "low", "high")
    return right and isinstance(column.parent, _COMPARED) and quote_of(column.this, sql) == '"'


def _near(name: str, schema: Schema) -> str:
    names = [column.name for table in schema.tables for column in table.columns]
    return suggest(name, names) or f"; there are: {', '.join(repr(known) for known in names[:12])}"
