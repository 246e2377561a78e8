"""Mask every token that cannot continue a WikiSQL query over the row's own table (llguidance).

With this processor an unconstrained model cannot name a column that the table does not have, and cannot write
a query that does not parse. It does not choose the right column, and it costs a mask a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import LogitsProcessor

from t2s.sql.core import Table
from t2s.sql.grammar import wikisql_grammar


class GrammarLogitsProcessor(LogitsProcessor):
    """One matcher a row. ``scores`` is (batch, vocabulary); rows are in the order of ``tables``."""

    def __init__(self, tokenizer: Any, tables: Sequence[Table], prompt_length: int) -> None:
        self._tokenizer = _ll_tokenizer(tokenizer)
        self._matchers = [LLMatcher(self._tokenizer, _grammar(table)) for table in tables]
        self._eos = tokenizer.eos_token_id
        self._seen = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # llguidance.torch would compile its mask kernel: half a minute on a CPU, for nothing that a small batch gains.
        allowed = np.zeros(scores.shape, dtype=np.uint8)
        for row, matcher in enumerate(self._matchers):
            for token in input_ids[row, self._seen :].tolist():
                if not matcher.is_stopped():
                    matcher.consume_token(token)
            if matcher.is_stopped():
                allowed[row, self._eos] = 1
            else:
                # Scores beyond the tokenizer's vocabulary (padded embeddings) stay forbidden.
                packed = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
                allowed[row] = np.unpackbits(packed, count=scores.shape[1], bitorder="little")
        self._seen = input_ids.shape[1]
        forbidden = torch.from_numpy(allowed == 0).to(scores.device)
        return scores.masked_fill(forbidden, float("-inf"))


@lru_cache(maxsize=4)
def _ll_tokenizer(tokenizer: Any) -> LLTokenizer:
    return llguidance.hf.from_tokenizer(tokenizer)


@lru_cache(maxsize=4096)
def _grammar(table: Table) -> str:
    return LLMatcher.grammar_from_lark(wikisql_grammar(table))
