"""Make a schema fit ``prompt.max_schema_chars`` by a stated rule that never looks at the gold query.

1. Drop all sample values.
2. If that is not enough, rank the columns: those that share more words with the question first (a column's own name
   and its table's name both count), among equals those with fewer other words in the name, then those of foreign keys,
   then in the schema's order. The longest beginning of this ranking that fits stays, in the schema's order; a table
   without columns goes, and a foreign key goes with either of its ends. One column always stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from t2s.config import PromptConfig
from t2s.prompt.styles import STYLES
from t2s.sql.core import Column, ForeignKey, Schema, Table

Place = tuple[int, int]
"""(table, column): positions in a schema."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")
"""Words of a name or question; ``homeTeam`` and ``home_team`` are two."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What of a schema fits: the rest of it, the values shown of each column, and what was dropped."""

    schema: Schema
    num_values: int
    dropped_values: bool = False
    num_columns_cut: int = 0


def fit(question: str, schema: Schema, config: PromptConfig) -> Fitted:
    """``schema`` under the rule above; deterministic."""
    render = STYLES[config.style]
    if len(render(schema, config.sample_values)) <= config.max_schema_chars:
        return Fitted(schema, config.sample_values)
    dropped = any(column.samples for table in schema.tables for column in table.columns) and config.sample_values > 0
    if len(render(schema, 0)) <= config.max_schema_chars:
        return Fitted(schema, 0, dropped)
    ranking = _ranking(question, schema)
    low, high = 1, len(ranking)
    while low < high:  # a longer beginning of the ranking is never a shorter text
        middle = (low + high + 1) // 2
        if len(render(_only(schema, set(ranking[:middle])), 0)) <= config.max_schema_chars:
            low = middle
        else:
            high = middle - 1
    return Fitted(_only(schema, set(ranking[:low])), 0, dropped, len(ranking) - low)


def _ranking(question: str, schema: Schema) -> list[Place]:
    asked = _words(question)
    keys = {(key.table, key.column) for key in schema.foreign_keys}
    keys |= {(key.other_table, key.other_column) for key in schema.foreign_keys}

    def rank(place: Place) -> tuple[int, float, bool, Place]:
        table = schema.tables[place[0]]
        column = table.columns[place[1]]
        words = _words(column.name)
        shared = len(asked & words)
        covered = shared / max(1, len(words))
        return -shared - len(asked & _words(table.name)), -covered, (table.name, column.name) not in keys, place

    return sorted(((t, c) for t, table in enumerate(schema.tables) for c in range(len(table.columns))), key=rank)


def _words(text: str) -> frozenset[str]:
    """Words in lower case, a plural's ``s`` taken off."""
    words = (word.casefold() for word in _WORD.findall(text))
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def _only(schema: Schema, places: set[Place]) -> Schema:
    tables = []
    for t, table in enumerate(schema.tables):
        columns: tuple[Column, ...] = tuple(column for c, column in enumerate(table.columns) if (t, c) in places)
        if columns:
            tables.append(Table(table.name, columns))
    kept = {(table.name, column.name) for table in tables for column in table.columns}
    return replace(schema, tables=tuple(tables), foreign_keys=_between(schema.foreign_keys, kept))


def _between(keys: tuple[ForeignKey, ...], kept: set[tuple[str, str]]) -> tuple[ForeignKey, ...]:
    return tuple(key for key in keys if {(key.table, key.column), (key.other_table, key.other_column)} <= kept)
