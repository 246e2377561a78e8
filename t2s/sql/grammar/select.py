"""The grammar of read-only SELECT queries over the tables of one schema.

A query is written over one of the schema's *sources* (:mod:`t2s.sql.grammar.sources`): a table, or joined ones. Its
columns are those of its source and of nothing else, so that every name can be resolved. Names are written bare where
SQL allows it, and always in double quotes too. Key words are in capitals, with single spaces.

Set operations and subqueries are of one column. Without GROUP BY, nothing is ordered by an aggregation. Columns may be
given names (:mod:`t2s.sql.grammar.labels`), and the last one of a query may be what it is ordered by.

Not in it: correlated subqueries, self-joins, queries in FROM, WITH, CASE, window functions, GROUP BY and HAVING by a
given name, functions other than those of :data:`_HEAD` and :data:`_SOURCE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from t2s.sql.core import Schema
from t2s.sql.grammar.labels import label_terminal, ordered_words
from t2s.sql.grammar.sources import sources
from t2s.sql.grammar.spans import pattern_terminal, value_terminals
from t2s.sql.grammar.wikisql import choice

DEPTH = 2
"""Subqueries inside subqueries, parentheses inside parentheses."""
MAX_SOURCES = 64
"""Those that :func:`sources` gives first."""

_HEAD = r"""
start: " " query
query: whole | one{depth} set_operation one{depth}
set_operation: " UNION " | " UNION ALL " | " INTERSECT " | " EXCEPT "
comparison: " = " | " != " | " <> " | " < " | " > " | " <= " | " >= "
operator: " + " | " - " | " * " | " / "
value: STRING | "-"? NUMBER
values: value (", " value){{0,15}}
limit: " LIMIT " COUNT (" OFFSET " COUNT)?
direction: " ASC" | " DESC"
aggregation: "MAX(" | "MIN(" | "SUM(" | "AVG(" | "COUNT("
function: "LOWER(" | "UPPER(" | "LENGTH(" | "ABS("
type: "REAL" | "INTEGER" | "TEXT"
as: " AS " | " "
join: " JOIN " | " INNER JOIN " | " LEFT JOIN "
COUNT: /[1-9][0-9]{{0,5}}/
CONSTANT: /[1-9][0-9]{{0,5}}(\.[0-9]{{1,4}})?/
FORMAT: /'[%A-Za-z0-9 :-]{{1,20}}'/
{values}
{pattern}
{label}
"""

_SOURCE = r"""
COLUMN_{s}: {columns}
from_{s}: {tables}
term_{s}: COLUMN_{s} | "(" COLUMN_{s} operator (COLUMN_{s} | CONSTANT) ")" | function COLUMN_{s} ")"
      | "ROUND(" COLUMN_{s} (", " COUNT)? ")" | "CAST(" COLUMN_{s} " AS " type ")"
      | "SUBSTR(" COLUMN_{s} ", " COUNT ", " COUNT ")"
      | "strftime(" (FORMAT ", " COLUMN_{s} | COLUMN_{s} ", " FORMAT) ")"
expression_{s}: term_{s} (operator (term_{s} | CONSTANT)){{0,3}}
aggregate_{s}: "COUNT(*)" | aggregation "DISTINCT "? expression_{s} ")"
measure_{s}: aggregate_{s} (operator (aggregate_{s} | CONSTANT)){{0,2}}
      | "ROUND(" aggregate_{s} (operator (aggregate_{s} | CONSTANT))? (", " COUNT)? ")"
item_{s}: expression_{s} | measure_{s}
items_{s}: item_{s} ((" AS " LABEL)? ", " item_{s}){{0,9}}
group_{s}: " GROUP BY " term_{s} (", " term_{s}){{0,3}}
order_{s}: " ORDER BY " expression_{s} direction? (", " expression_{s} direction?){{0,2}}
ranked_{s}: " ORDER BY " item_{s} direction? (", " item_{s} direction?){{0,2}}
"""

_LEVEL = r"""
single_{s}_{d}: "SELECT " "DISTINCT "? item_{s} from_where_{s}_{d} grouped_{s}_{d}?
from_where_{s}_{d}: " FROM " from_{s} where_{s}_{d}?
end_{s}_{d}: order_{s} | grouped_{s}_{d} ranked_{s}?
grouped_{s}_{d}: group_{s} having_{s}_{d}?
where_{s}_{d}: " WHERE " condition_{s}_{d}
condition_{s}_{d}: predicate_{s}_{d} ((" AND " | " OR ") predicate_{s}_{d}){{0,5}}
predicate_{s}_{d}: expression_{s} test_{d} | expression_{s} comparison COLUMN_{s} {nested}
column_query_{s}_{d}: "SELECT " "DISTINCT "? item_{s} from_where_{s}_{d} end_{s}_{d}? limit?
having_{s}_{d}: " HAVING " measure_{s} test_{d} ((" AND " | " OR ") measure_{s} test_{d}){{0,2}}
"""

_WHOLE = r"""
whole_{s}: "SELECT " "DISTINCT "? ("*" rest_{s} | items_{s} after_{s})
after_{s}: (" AS " LABEL)? rest_{s} | " AS " called_{s} direction? limit?
rest_{s}: from_where_{s}_{d} end_{s}_{d}? limit?
called_{s}: {called}
"""
_CALLED = '"{word} FROM " from_{s} where_{s}_{d}? grouped_{s}_{d}? " ORDER BY {word}"'

_TEST = r"""
test_{d}: comparison value | " NOT"? " LIKE " PATTERN | " NOT"? " BETWEEN " value " AND " value | " IS NULL"
      | " IS NOT NULL" | " NOT"? " IN (" values ")" {nested}
"""


def select_grammar(schema: Schema, question: str | None = None) -> str:
    """The grammar of read-only SELECTs over ``schema``, after one space; with a question, values are its spans."""
    found = list(islice(sources(schema), MAX_SOURCES))
    rules = [
        _HEAD.format(
            depth=DEPTH,
            values=value_terminals(question),
            pattern=pattern_terminal(question),
            label=label_terminal(schema),
        )
    ]
    rules += [_SOURCE.format(s=s, columns=choice(one.columns), tables=one.tables) for s, one in enumerate(found)]
    for depth in range(DEPTH + 1):
        deeper = f'| comparison "(" column{depth - 1} ")" | " NOT"? " IN (" column{depth - 1} ")"' if depth else ""
        rules.append(_TEST.format(d=depth, nested=deeper))
        for name, of in (("one", "single"), ("column", "column_query")):
            rules.append(f"{name}{depth}: " + " | ".join(f"{of}_{s}_{depth}" for s in range(len(found))) + "\n")
        for s in range(len(found)):
            inner = f'| "NOT "? "(" condition_{s}_{depth - 1} ")"' if depth else ""
            rules.append(_LEVEL.format(s=s, d=depth, nested=inner))
    return "".join([*rules, *_whole(ordered_words(schema), len(found))]).strip()


def _whole(words: Sequence[str], number: int) -> Iterator[str]:
    """Queries that are not inside others, over each of ``number`` sources; their last column may be called one of
    ``words``, and they be ordered by it.
    """
    yield "whole: " + " | ".join(f"whole_{s}" for s in range(number)) + "\n"
    for s in range(number):
        called = " | ".join(_CALLED.format(word=word, s=s, d=DEPTH) for word in words)
        yield _WHOLE.format(s=s, d=DEPTH, called=called)
