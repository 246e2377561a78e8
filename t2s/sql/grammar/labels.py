"""Names that a query gives to its columns (``COUNT(*) AS n``), and what may be ordered by one.

Any name may be given that is no key word and none of the schema's own, so that no column of it is ever hidden. What is
ordered by is one of :data:`ORDERED`: a grammar cannot ask for the name that was given before, unless it is written out.
"""

from __future__ import annotations

import re

from t2s.sql.core import Schema
from t2s.sql.grammar.sources import PLAIN, RESERVED
from t2s.sql.schema import sql_names

ORDERED = (
    "n", "num", "number", "count", "cnt", "total", "sum", "amount", "value", "revenue", "spent", "average", "avg",
    "mean", "maximum", "max", "minimum", "min",
)  # fmt: skip

_NOT_LABELS = """
AUTOINCREMENT CAST FETCH FOR GRANT ILIKE LATERAL PARTITIONED_BY QUALIFY RAISE RETURNING REVOKE RLIKE ROLLBACK
TABLESAMPLE UNCACHE XOR
"""
"""Beside the reserved words, those that SQLite or the parser does not read as a name behind AS or ORDER BY."""


def label_terminal(schema: Schema) -> str:
    """The terminal LABEL."""
    words = "|".join(sorted({*RESERVED, *_NOT_LABELS.split(), *map(re.escape, _own(schema))}))
    return f"LABEL: /[A-Za-z_][A-Za-z0-9_]{{0,30}}/ & ~/(?i:{words})/"


def ordered_words(schema: Schema) -> tuple[str, ...]:
    """Those of :data:`ORDERED` that the schema leaves free; one at least."""
    return tuple(word for word in ORDERED if word.upper() not in _own(schema)) or ("t2s_value",)


def _own(schema: Schema) -> set[str]:
    names = {name for table in schema.tables for name in (table.name, *sql_names(table))}
    return {name.upper() for name in names if PLAIN.fullmatch(name)}
