"""When an answer has ended: at the end-of-sequence token, or when more text would not change its first statement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from t2s.sql.extract import extract_sql

_STOPS = (";", "\n")
_CLOSING = ("", "'", '"', "`", "]")
"""What may close an open quote, after nothing."""


class Ends:
    """``ends(written)``: whether the newest of these tokens ends the answer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stops = _tokens_with(tokenizer, _STOPS)

    def __call__(self, written: Sequence[int]) -> bool:
        """Looks at the text only if the newest token may end one."""
        newest = written[-1]
        return newest == self._tokenizer.eos_token_id or (newest in self._stops and self._is_complete(written))

    def _is_complete(self, written: Sequence[int]) -> bool:
        """Inside quotes more text does change a statement: after ``'a;`` comes the rest of a value, which shows once
        the quote is closed.
        """
        text = self._tokenizer.decode(written, skip_special_tokens=True)
        sql = extract_sql(text)
        return bool(text.strip()) and all(extract_sql(f"{text}{close} x") == sql for close in _CLOSING)


@lru_cache(maxsize=4)
def _tokens_with(tokenizer: Any, fragments: Sequence[str]) -> frozenset[int]:
    """Ids of the tokens whose text contains one of ``fragments``."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, text in enumerate(texts) if any(fragment in text for fragment in fragments))
