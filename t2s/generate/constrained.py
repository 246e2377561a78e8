"""Mask every token that cannot continue a WikiSQL query over the row's own table (llguidance).

With this processor an unconstrained model cannot name a column that the table does not have, and cannot write
a query that does not parse. It does not choose the right column, and it costs a mask a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import llguidance.hf
import llguidance.torch
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
        mask = llguidance.torch.allocate_token_bitmask(len(self._matchers), scores.shape[1])
        for row, matcher in enumerate(self._matchers):
            for token in input_ids[row, self._seen :].tolist():
                if not matcher.is_stopped():
                    matcher.consume_token(token)
            if matcher.is_stopped():
                _allow_only(mask[row], self._eos)
            else:
                llguidance.torch.fill_next_token_bitmask(matcher, mask, row)
        self._seen = input_ids.shape[1]
        llguidance.torch.apply_token_bitmask_inplace(scores, mask.to(scores.device))
        return scores


def _allow_only(mask_row: torch.Tensor, token: int) -> None:
    """Set the bits of one row, packed 32 to an int32, to the single ``token``."""
    mask_row.zero_()
    bit = token % 32
    mask_row[token // 32] = (1 << bit) if bit < 31 else -(1 << 31)


@lru_cache(maxsize=4)
def _ll_tokenizer(tokenizer: Any) -> LLTokenizer:
    return llguidance.hf.from_tokenizer(tokenizer)


@lru_cache(maxsize=4096)
def _grammar(table: Table) -> str:
    return LLMatcher.grammar_from_lark(wikisql_grammar(table))
