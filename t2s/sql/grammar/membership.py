"""Whether a grammar can write a query: what a model was taught and may not say is a wrong answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from t2s.errors import SQLError
from t2s.sql.core import Schema
from t2s.sql.grammar import grammar_of


def can_write(kind: str, schema: Schema, sql: str) -> bool:
    """Whether ``sql``, letter by letter, is in the grammar ``kind`` of ``schema``; its values are free."""
    matcher = _matcher(kind, schema)
    if matcher is None:
        return False
    asked, tokens = matcher.deep_copy(), list(f" {sql}".encode())
    return bool(asked.try_consume_tokens(tokens) == len(tokens) and asked.is_accepting())


@lru_cache(maxsize=64)
def _matcher(kind: str, schema: Schema) -> Any:
    """None where the schema has no such grammar: ``wikisql`` is of one table."""
    try:
        made = LLMatcher(_bytes(), LLMatcher.grammar_from_lark(grammar_of(schema, kind)), log_level=0)
    except SQLError:
        return None
    return None if made.is_error() else made


@lru_cache(maxsize=1)
def _bytes() -> LLTokenizer:
    """A token is a byte."""
    return LLTokenizer("byte")
