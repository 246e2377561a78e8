"""The grammar of read-only SELECT queries over the tables of one schema.

A query is written over one of the schema's *sources*: a table, or two or three tables joined along foreign keys (along
equal column names where the schema has no keys). Its columns are those of its source and of nothing else, so that every
name can be resolved: bare over one table, ``T1.name`` over a join with aliases, ``orders.name`` over one without. Names
are written bare where SQL allows it, and always in double quotes too. Key words are in capitals, with single spaces.

Set operations and subqueries are of one column.

Not in it: correlated subqueries, self-joins, outer joins, arithmetic, functions other than the five aggregations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, islice

from sqlglot import exp

from t2s.sql.core import ForeignKey, Schema, Table
from t2s.sql.grammar.spans import pattern_terminal, value_terminals
from t2s.sql.grammar.wikisql import choice, literal
from t2s.sql.schema import quote_name, sql_names
from t2s.sql.syntax import NotWikiSQLForm, SyntaxFailure, read_query

DEPTH = 2
"""Subqueries inside subqueries, parentheses inside parentheses."""
MAX_SOURCES = 64
"""Single tables first, then pairs, then triples."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_RESERVED_WORDS = """
ADD ALL ALTER AND AS BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE CROSS CURRENT_DATE CURRENT_TIME
CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE END ESCAPE EXCEPT EXISTS FALSE FOREIGN FROM FULL
GLOB GROUP HAVING IN INDEX INNER INSERT INTERSECT INTO IS ISNULL JOIN LEFT LIKE LIMIT MATCH NATURAL NOT NOTNULL
NULL ON OR ORDER OUTER PRIMARY REFERENCES REGEXP RIGHT SELECT SET TABLE THEN TO TRANSACTION TRUE UNION UNIQUE
UPDATE USING VALUES WHEN WHERE WITH
"""
_RESERVED = frozenset(_RESERVED_WORDS.split())
"""https://sqlite.org/lang_keywords.html, those that are no names there without quotes."""

_HEAD = r"""
start: " " query
query: whole{depth} | one{depth} set_operation one{depth}
set_operation: " UNION " | " UNION ALL " | " INTERSECT " | " EXCEPT "
comparison: " = " | " != " | " <> " | " < " | " > " | " <= " | " >= "
value: STRING | "-"? NUMBER
values: value (", " value){{0,15}}
limit: " LIMIT " COUNT
direction: " ASC" | " DESC"
function: "MAX(" | "MIN(" | "SUM(" | "AVG(" | "COUNT("
COUNT: /[1-9][0-9]{{0,5}}/
{values}
{pattern}
"""

_SOURCE = r"""
column_{s}: {columns}
from_{s}: {tables}
aggregate_{s}: "COUNT(*)" | function "DISTINCT "? column_{s} ")"
item_{s}: column_{s} | aggregate_{s}
items_{s}: "*" | item_{s} (", " item_{s}){{0,9}}
group_{s}: " GROUP BY " column_{s} (", " column_{s}){{0,3}}
order_{s}: " ORDER BY " item_{s} direction? (", " item_{s} direction?){{0,2}}
"""

_LEVEL = r"""
query_{s}_{d}: "SELECT " "DISTINCT "? items_{s} rest_{s}_{d} order_{s}? limit?
single_{s}_{d}: "SELECT " "DISTINCT "? item_{s} rest_{s}_{d}
rest_{s}_{d}: " FROM " from_{s} where_{s}_{d}? (group_{s} having_{s}_{d}?)?
where_{s}_{d}: " WHERE " condition_{s}_{d}
condition_{s}_{d}: predicate_{s}_{d} ((" AND " | " OR ") predicate_{s}_{d}){{0,5}}
predicate_{s}_{d}: column_{s} test_{d} | column_{s} comparison column_{s} {nested}
column_query_{s}_{d}: single_{s}_{d} order_{s}? limit?
having_{s}_{d}: " HAVING " aggregate_{s} test_{d} ((" AND " | " OR ") aggregate_{s} test_{d}){{0,2}}
"""

_TEST = r"""
test_{d}: comparison value | " NOT"? " LIKE " PATTERN | " NOT"? " BETWEEN " value " AND " value | " IS NULL"
      | " IS NOT NULL" | " NOT"? " IN (" values ")" {nested}
"""


@dataclass(frozen=True)
class _Source:
    """What a FROM clause may say, in one spelling or another, and the columns that are then there."""

    texts: tuple[str, ...]
    columns: tuple[str, ...]


def select_grammar(schema: Schema, question: str | None = None) -> str:
    """The grammar of read-only SELECTs over ``schema``, after one space; with a question, values are its spans."""
    sources = list(islice(_sources(schema), MAX_SOURCES))
    rules = [_HEAD.format(depth=DEPTH, values=value_terminals(question), pattern=pattern_terminal(question))]
    rules += [
        _SOURCE.format(s=s, columns=choice(one.columns), tables=" | ".join(map(_apart, one.texts)))
        for s, one in enumerate(sources)
    ]
    for depth in range(DEPTH + 1):
        deeper = f'| comparison "(" column{depth - 1} ")" | " NOT"? " IN (" column{depth - 1} ")"' if depth else ""
        rules.append(_TEST.format(d=depth, nested=deeper))
        for name, of in (("whole", "query"), ("one", "single"), ("column", "column_query")):
            rules.append(f"{name}{depth}: " + " | ".join(f"{of}_{s}_{depth}" for s in range(len(sources))) + "\n")
        for s in range(len(sources)):
            inner = f'| "NOT "? "(" condition_{s}_{depth - 1} ")"' if depth else ""
            rules.append(_LEVEL.format(s=s, d=depth, nested=inner))
    return "".join(rules).strip()


def _sources(schema: Schema) -> Iterator[_Source]:
    """One by one: many tables have more ways to be joined than anybody may wait for."""
    tables = {table.name: table for table in schema.tables}
    for table in schema.tables:
        columns = tuple(dict.fromkeys(text for name in sql_names(table) for text in _spellings(name)))
        yield _Source(_spellings(table.name), columns)
    keys = [key for key in _keys(schema) if key.table != key.other_table]
    for path in chain(_paths(keys, 1), _paths(keys, 2)):
        yield _joined(path, tables, aliased=True)
        yield _joined(path, tables, aliased=False)


def _apart(text: str) -> str:
    """Each joined table a literal of its own: a text that another one goes on from would be read as that one."""
    first, *more = text.split(" JOIN ")
    return " ".join([literal(first), *(f'" JOIN " {literal(part)}' for part in more)])


def _keys(schema: Schema) -> list[ForeignKey]:
    """The schema's foreign keys between columns that are there; without any, equal names of two tables."""
    names = {(table.name, name) for table in schema.tables for name in sql_names(table)}
    known = [k for k in schema.foreign_keys if {(k.table, k.column), (k.other_table, k.other_column)} <= names]
    if known:
        return known
    pairs = combinations(schema.tables, 2)
    return [ForeignKey(a.name, n, b.name, n) for a, b in pairs for n in sql_names(a) if n in sql_names(b)]


def _paths(keys: Sequence[ForeignKey], length: int) -> Iterator[tuple[ForeignKey, ...]]:
    """Chains of keys, each from a table that is there to a new one, in both directions."""
    both = [*keys, *(ForeignKey(k.other_table, k.other_column, k.table, k.column) for k in keys)]
    if length == 1:
        return ((key,) for key in both)
    return (
        (first, second)
        for first in both
        for second in both
        if second.table in (first.table, first.other_table)
        and second.other_table not in (first.table, first.other_table)
    )


def _joined(path: Sequence[ForeignKey], tables: dict[str, Table], aliased: bool) -> _Source:
    order = [path[0].table, *(key.other_table for key in path)]
    called = {name: f"T{number}" if aliased else _spellings(name)[0] for number, name in enumerate(order, 1)}
    shown = {name: f"{_spellings(name)[0]} AS {called[name]}" if aliased else called[name] for name in order}
    text = shown[order[0]]
    for key in path:
        here = f"{called[key.table]}.{_spellings(key.column)[0]}"
        there = f"{called[key.other_table]}.{_spellings(key.other_column)[0]}"
        text += f" JOIN {shown[key.other_table]} ON {here} = {there}"
    columns = tuple(
        f"{called[name]}.{spelling}"
        for name in order
        for column in sql_names(tables[name])
        for spelling in _spellings(column)
    )
    return _Source((text,), columns)


def _spellings(name: str) -> tuple[str, ...]:
    """How a name may be written: bare first where that is possible."""
    return (name, quote_name(name)) if _may_be_bare(name) else (quote_name(name),)


@lru_cache(maxsize=1 << 14)
def _may_be_bare(name: str) -> bool:
    """Whether SQLite and the parser both read the bare word as a name."""
    if _PLAIN.fullmatch(name) is None or name.upper() in _RESERVED:
        return False
    try:
        tree = read_query(f"SELECT {name}, MAX({name}) FROM {name} WHERE {name} = 1 ORDER BY {name}")
    except (SyntaxFailure, NotWikiSQLForm):
        return False
    return [column.name for column in tree.find_all(exp.Column)] == [name] * 4
