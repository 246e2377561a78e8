"""What a grammar allows after each token (llguidance): which tokens may come, and which must.

Held to a grammar, an unconstrained model cannot name a column that is not there, and cannot write a query that does not
parse. It does not choose the right column. A text that the grammar forces is written as the tokenizer writes it, and
costs no decision; where it could be split otherwise with what may follow, the model decides.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llguidance.hf
import numpy as np
from llguidance import LLMatcher, LLTokenizer

from t2s.errors import ConfigError
from t2s.sql.core import Schema
from t2s.sql.grammar import grammar_of

Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""One truth value a token of the model's vocabulary."""


class Constraint:
    """The state of one answer in one grammar."""

    def __init__(self, tokenizer: Any, lark: str, eos: int) -> None:
        self._matcher = LLMatcher(_ll_tokenizer(tokenizer), LLMatcher.grammar_from_lark(lark))
        if self._matcher.is_error():
            raise ConfigError(f"inference.grammar: this schema has no grammar: {self._matcher.get_error()}")
        self._eos = eos

    @property
    def is_over(self) -> bool:
        """Whether nothing but the end may follow."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> list[int]:
        """Consume and return the tokens that must come now."""
        tokens = [] if self.is_over else list(self._matcher.compute_ff_tokens())
        if tokens and self._matcher.try_consume_tokens(tokens) != len(tokens):
            raise AssertionError("the grammar forces tokens that it does not take")
        return tokens

    def take(self, token: int) -> bool:
        """Consume one token; False, and no change, if it may not come now."""
        return token != self._eos and self._matcher.try_consume_tokens([token]) == 1

    def undo(self, num_tokens: int) -> None:
        """Take back what was consumed last."""
        if num_tokens and not self._matcher.rollback(num_tokens):
            raise AssertionError(f"the grammar cannot go back: {self._matcher.get_error()}")

    def fork(self) -> Constraint:
        """A copy that goes its own way."""
        copy = object.__new__(Constraint)
        copy._matcher, copy._eos = self._matcher.deep_copy(), self._eos
        return copy

    def allowed(self, vocabulary: int) -> Mask:
        """Which tokens may come now; those beyond the tokenizer's (padded embeddings) never."""
        if self.is_over:
            only_end = np.zeros(vocabulary, dtype=np.bool_)
            only_end[self._eos] = True
            return only_end
        # llguidance.torch would compile its mask kernel: half a minute on a CPU, for nothing that a small batch gains.
        packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(packed, count=vocabulary, bitorder="little").view(np.bool_)


def constraint_for(tokenizer: Any, kind: str, values: str, schema: Schema, question: str) -> Constraint | None:
    """The start of an answer under ``inference.grammar``; None for ``none``."""
    if kind == "none":
        return None
    return Constraint(
        tokenizer, grammar_of(schema, kind, question if values == "span" else None), tokenizer.eos_token_id
    )


@lru_cache(maxsize=4)
def _ll_tokenizer(tokenizer: Any) -> LLTokenizer:
    return llguidance.hf.from_tokenizer(tokenizer)
