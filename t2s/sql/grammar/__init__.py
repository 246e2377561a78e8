"""Grammars of one schema: what a query over it may be, token by token, in llguidance's dialect of Lark.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md. A model held to one cannot name a column that is not
there nor write what does not parse; it can still choose the wrong one.
"""

from __future__ import annotations

from functools import lru_cache

from t2s.sql.core import Schema
from t2s.sql.grammar.select import select_grammar
from t2s.sql.grammar.wikisql import wikisql_grammar

__all__ = ["grammar_of", "select_grammar", "wikisql_grammar"]


@lru_cache(maxsize=256)  # of a large schema and a long question it has 400 kB
def grammar_of(schema: Schema, kind: str, question: str | None = None) -> str:
    """The grammar ``wikisql`` or ``select`` of ``schema``; with a question, its values are spans of that."""
    return wikisql_grammar(schema.table, question) if kind == "wikisql" else select_grammar(schema, question)
