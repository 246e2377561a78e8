"""The grammar of one table: the texts that :func:`t2s.sql.render.render` writes for it, after one space.

In llguidance's dialect of Lark (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md). A
model held to it cannot name a column that is not there nor write what does not parse; it can still choose
the wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from t2s.sql.core import AGGREGATIONS, OPERATORS, Table
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
STRING: /'([^']|'')*'/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?(e(-[0-9][0-9][0-9]?|\+[012]?[0-9][0-9]|\+30[0-8]))?/
"""


def wikisql_grammar(table: Table) -> str:
    """The grammar of ``SELECT [AGG](column) FROM table [WHERE column op value AND ...]``, any values."""
    return _RULES.strip().format(
        more=MAX_CONDITIONS - 1,
        aggregations=_choice(AGGREGATIONS[1:]),
        operators=_choice(OPERATORS),
        table=_literal(quote_name(table.name)),
        columns=_choice(quote_name(name) for name in sql_names(table)),
    )


def _choice(texts: Iterable[str]) -> str:
    return " | ".join(_literal(text) for text in texts)


def _literal(text: str) -> str:
    """A string of the grammar; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
