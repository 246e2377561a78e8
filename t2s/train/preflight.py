"""Checks on the actual tokenizer, before any step: the model must see and learn the end of every query.

Mistral-7B-v0.1's tokenizer adds no end token, and SmolLM2's pad token *is* its end token; a trainer that masks pads by
id then never teaches the model to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t2s.errors import ConfigError
from t2s.train.texts import Text


def check_tokens(tokenizer: Any, texts: Sequence[Text]) -> None:
    """Raise a :class:`ConfigError` if a prompt is not a token prefix of its example, or is opened twice."""
    for prompt, completion in texts:
        alone = tokenizer(prompt)["input_ids"]
        whole = tokenizer(prompt + completion)["input_ids"]
        if whole[: len(alone)] != alone:
            raise ConfigError(
                "model.name: this tokenizer merges the end of the prompt with the start of the SQL, so that training "
                f"and inference would differ: {tokenizer.decode(alone[-3:])!r} + {completion[:12]!r}"
            )
        bos = tokenizer.bos_token_id
        if bos is not None and alone[:2] == [bos, bos]:
            raise ConfigError("model.name: this tokenizer opens a text with two begin tokens; use a fixed tokenizer")
        if tokenizer.eos_token_id in alone:
            raise ConfigError("data: a prompt holds the end-of-sequence token as text; remove it from the data")
