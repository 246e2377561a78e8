"""What a FROM clause may say over one schema, and the columns that are then there.

A *source* is a table, or up to four tables joined along foreign keys (along equal column names where the schema has no
keys), in every order in which each table hangs on one before it. People call joined tables in few ways, and a model
writes the one that its examples taught it, so each join comes as: the tables' names; ``T1``, ``T2`` in their order;
initials (``order_items AS oi``) and initials of the last word (``order_items AS i``), where no two are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from sqlglot import exp

from t2s.sql.core import ForeignKey, Schema, Table
from t2s.sql.grammar.wikisql import literal
from t2s.sql.schema import quote_name, sql_names
from t2s.sql.syntax import NotWikiSQLForm, SyntaxFailure, read_query

MAX_TABLES = 4
"""In one FROM clause."""

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name that SQL takes without quotes, unless it is a key word."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_RESERVED_WORDS = """
ADD ALL ALTER AND AS BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE CROSS CURRENT_DATE CURRENT_TIME
CURRENT_TIMESTAMP DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE END ESCAPE EXCEPT EXISTS FALSE FOREIGN FROM FULL
GLOB GROUP HAVING IN INDEX INNER INSERT INTERSECT INTO IS ISNULL JOIN LEFT LIKE LIMIT MATCH NATURAL NOT NOTNULL
NULL ON OR ORDER OUTER PRIMARY REFERENCES REGEXP RIGHT SELECT SET TABLE THEN TO TRANSACTION TRUE UNION UNIQUE
UPDATE USING VALUES WHEN WHERE WITH
"""
RESERVED = frozenset(_RESERVED_WORDS.split())
"""https://sqlite.org/lang_keywords.html, those that are no names there without quotes."""

Names = Mapping[str, str]
"""What each table of a join is called, by its name."""
Order = tuple[ForeignKey, ...]
"""How a join is written: each key from a table that is there to a new one."""


@dataclass(frozen=True)
class Source:
    """``tables`` is what follows FROM, an expression of the grammar over its rules ``as`` and ``join``; ``columns`` are
    the columns that can then be named, as they are written."""

    tables: str
    columns: tuple[str, ...]


def sources(schema: Schema) -> Iterator[Source]:
    """Single tables first, then joins of two, three and four. One by one: many tables have more ways to be joined than
    anybody may wait for."""
    tables = {table.name: table for table in schema.tables}
    keys = [key for key in _keys(schema) if key.table != key.other_table]
    yield from map(_alone, schema.tables)
    for size in range(1, MAX_TABLES):
        for join in _joins(keys, size):
            yield from _written(join, tables)
        if size == 1:  # an alias that nothing needs is rarer than a join
            yield from (_alone(table, alias) for table in schema.tables for alias in _aliases(table.name))


def _alone(table: Table, alias: str | None = None) -> Source:
    names = " | ".join(map(literal, _spellings(table.name)))
    if alias is None:
        bare = dict.fromkeys(text for name in sql_names(table) for text in _spellings(name))
        return Source(f"({names}) (as ({' | '.join(map(literal, _aliases(table.name)))}))?", tuple(bare))
    return Source(f"({names}) as {literal(alias)}", tuple(_columns(table, alias)))


def _written(join: frozenset[ForeignKey], tables: Mapping[str, Table]) -> Iterator[Source]:
    """A join, called in each way."""
    orders = list(_orders(join))
    order = _tables(orders[0])
    short = [tuple(_initials(name)[which] for name in order) for which in (0, 1)]
    for names in (tuple(_spellings(name)[0] for name in order), *dict.fromkeys(short)):
        if all(names) and len(set(names)) == len(order):
            yield _source(orders, dict(zip(order, names, strict=True)), tables)
    for each in orders:
        yield _source([each], {name: f"T{number}" for number, name in enumerate(_tables(each), 1)}, tables)


def _source(orders: Sequence[Order], called: Names, tables: Mapping[str, Table]) -> Source:
    """The columns of a join are written with their table's name, and bare where only one table has them."""
    here = [tables[name] for name in _tables(orders[0])]
    owners = Counter(name.lower() for table in here for name in sql_names(table))
    columns = [text for table in here for text in _columns(table, called[table.name])]
    bare = [name for table in here for name in sql_names(table) if owners[name.lower()] == 1]
    columns += [text for name in bare for text in _spellings(name)]
    return Source(" | ".join(_from(order, called) for order in orders), tuple(dict.fromkeys(columns)))


def _from(order: Order, called: Names) -> str:
    text = _called(order[0].table, called)
    for key in order:
        one = f"{called[key.table]}.{_spellings(key.column)[0]}"
        other = f"{called[key.other_table]}.{_spellings(key.other_column)[0]}"
        either = f"{literal(f'{one} = {other}')} | {literal(f'{other} = {one}')}"
        text += f' join {_called(key.other_table, called)} " ON " ({either})'
    return text


def _called(name: str, called: Names) -> str:
    shown = _spellings(name)[0]
    return literal(shown) if called[name] == shown else f"{literal(shown)} as {literal(called[name])}"


def _columns(table: Table, called: str) -> Iterator[str]:
    return (f"{called}.{text}" for name in sql_names(table) for text in _spellings(name))


def _keys(schema: Schema) -> list[ForeignKey]:
    """The schema's foreign keys between columns that are there; without any, equal names of two tables."""
    names = {(table.name, name) for table in schema.tables for name in sql_names(table)}
    known = [k for k in schema.foreign_keys if {(k.table, k.column), (k.other_table, k.other_column)} <= names]
    if known:
        return known
    pairs = combinations(schema.tables, 2)
    return [ForeignKey(a.name, n, b.name, n) for a, b in pairs for n in sql_names(a) if n in sql_names(b)]


def _joins(keys: Sequence[ForeignKey], size: int) -> Iterator[frozenset[ForeignKey]]:
    """Sets of ``size`` keys that hang together and form no ring, each once."""
    if size == 0:
        yield frozenset()
        return
    seen: set[frozenset[ForeignKey]] = set()
    for smaller in _joins(keys, size - 1):
        there = {table for key in smaller for table in (key.table, key.other_table)}
        for key in keys:
            if there and len({key.table, key.other_table} & there) != 1:
                continue
            if (join := smaller | {key}) not in seen:
                seen.add(join)
                yield join


def _orders(join: frozenset[ForeignKey]) -> Iterator[Order]:
    """Every way to write a join down, each once."""
    both = [*join, *(ForeignKey(k.other_table, k.other_column, k.table, k.column) for k in join)]
    both.sort(key=lambda key: (key.table, key.column, key.other_table, key.other_column))
    for start in dict.fromkeys(key.table for key in both):
        yield from _grown((), {start}, both, len(join))


def _grown(order: Order, there: set[str], both: Sequence[ForeignKey], size: int) -> Iterator[Order]:
    if len(order) == size:
        yield order
        return
    for key in both:
        if key.table in there and key.other_table not in there:
            yield from _grown((*order, key), there | {key.other_table}, both, size)


def _tables(order: Order) -> list[str]:
    return [order[0].table, *(key.other_table for key in order)]


def _aliases(name: str) -> list[str]:
    return [text for text in dict.fromkeys(("T1", *_initials(name))) if text]


def _initials(name: str) -> tuple[str, str]:
    """Of all its words, and of the last one; "" where they are none that can be said."""
    words = [word[0].lower() for word in _WORD.findall(name)]
    whole, last = "".join(words), "".join(words[-1:])
    return (whole if _may_be_bare(whole) else "", last if _may_be_bare(last) else "")


def _spellings(name: str) -> tuple[str, ...]:
    """How a name may be written: bare first where that is possible."""
    return (name, quote_name(name)) if _may_be_bare(name) else (quote_name(name),)


@lru_cache(maxsize=1 << 14)
def _may_be_bare(name: str) -> bool:
    """Whether SQLite and the parser both read the bare word as a name."""
    if PLAIN.fullmatch(name) is None or name.upper() in RESERVED:
        return False
    try:
        tree = read_query(f"SELECT {name}, MAX({name}) FROM {name} WHERE {name} = 1 ORDER BY {name}")
    except (SyntaxFailure, NotWikiSQLForm):
        return False
    return [column.name for column in tree.find_all(exp.Column)] == [name] * 4
