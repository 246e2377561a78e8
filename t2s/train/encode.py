"""Texts to tokens, once for a run: on the driver, before any worker starts, and for all its epochs and trials.

A label is a token of the SQL or the end-of-sequence token after it; the prompt is masked by position, never by the
pad token's id, which may be the end token's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from t2s.errors import ConfigError

IGNORED = -100
"""The label of a token that is not learned (PyTorch's ``ignore_index``)."""


Text = tuple[str, str]
"""(prompt, completion), without special tokens."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example: ``input_ids`` is the prompt (``num_prompt`` tokens), the SQL and the end token.

    Examples with the same ``table`` number have one schema, so that their prompts begin alike.
    """

    input_ids: list[int]
    num_prompt: int
    table: int = 0

    @property
    def labels(self) -> list[int]:
        """As long as ``input_ids``."""
        return [IGNORED] * self.num_prompt + self.input_ids[self.num_prompt :]

    def __len__(self) -> int:
        return len(self.input_ids)


def encode(pairs: Sequence[Text], tables: Sequence[int], tokenizer: Any) -> list[Encoded]:
    """Encode (prompt, completion) pairs, each ending in one end-of-sequence token.

    Raises:
        ConfigError: the tokens of some prompt alone, which inference will start from, are not those of the prompt in
            its example, which training would teach.
    """
    if not pairs:
        return []
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    wholes = tokenizer([prompt + completion for prompt, completion in pairs])["input_ids"]
    for pair, prompt, whole in zip(pairs, prompts, wholes, strict=True):
        if whole[: len(prompt)] != prompt:
            raise ConfigError(
                "model.name: this tokenizer merges the end of the prompt with the start of the SQL, so that training "
                f"and inference would differ: {tokenizer.decode(prompt[-3:])!r} + {pair[1][:12]!r}"
            )
    end = tokenizer.eos_token_id
    # Some tokenizers add the end token themselves; one is enough.
    return [
        Encoded(whole if whole[-1] == end else [*whole, end], len(prompt), table)
        for prompt, whole, table in zip(prompts, wholes, tables, strict=True)
    ]
