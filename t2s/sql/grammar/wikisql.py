"""The grammar of one table: the texts that :func:`t2s.sql.render.render` writes for it, after one space."""

from __future__ import annotations

import json
from collections.abc import Iterable

from t2s.sql.core import AGGREGATIONS, OPERATORS, Table
from t2s.sql.grammar.spans import value_terminals
from t2s.sql.schema import quote_name, sql_names

MAX_CONDITIONS = 4
"""No query of WikiSQL has more."""

_RULES = r"""
start: " SELECT " selected " FROM " table where?
where: " WHERE " condition (" AND " condition){{0,{more}}}
selected: column | aggregation "(" column ")"
condition: column " " operator " " value
value: STRING | NUMBER
aggregation: {aggregations}
operator: {operators}
table: {table}
column: {columns}
{values}
"""


def wikisql_grammar(table: Table, question: str | None = None) -> str:
    """The grammar of ``SELECT [AGG](column) FROM table [WHERE column op value AND ...]``.

    Values are anything, or with a question its spans and numbers (:mod:`t2s.sql.grammar.spans`).
    """
    return _RULES.strip().format(
        more=MAX_CONDITIONS - 1,
        values=value_terminals(question),
        aggregations=choice(AGGREGATIONS[1:]),
        operators=choice(OPERATORS),
        table=literal(quote_name(table.name)),
        columns=choice(quote_name(name) for name in sql_names(table)),
    )


def choice(texts: Iterable[str]) -> str:
    """One of ``texts``."""
    return " | ".join(literal(text) for text in texts)


def literal(text: str) -> str:
    """A string of the grammar; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
