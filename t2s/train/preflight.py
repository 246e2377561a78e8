"""Checks on the actual tokenizer, before any step: the model must see and learn the end of every query.

Mistral-7B-v0.1's tokenizer adds no end token, and SmolLM2's pad token *is* its end token; a trainer that masks pads by
id then never teaches the model to stop. Not covered: whether a base understands the tokens; a wrong tokenizer beside
a model shows in its first losses only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t2s.errors import ConfigError, DataError
from t2s.train.encode import Encoded, Text, encode


def check_tokens(tokenizer: Any, texts: Sequence[Text]) -> list[Encoded]:
    """Encode ``texts`` and check every one.

    Raises:
        ConfigError: a prompt is not a token prefix of its example, or see :func:`check_encoded`.
        DataError: see :func:`check_encoded`.
    """
    examples = encode(texts, [0] * len(texts), tokenizer)
    check_encoded(tokenizer, examples)
    return examples


def check_encoded(tokenizer: Any, examples: Sequence[Encoded]) -> None:
    """Every example opens at most once, holds the end token once, last and as a label, and has something to learn.

    Raises:
        ConfigError: the tokenizer opens a text with two begin tokens.
        DataError: a special token stands in an example as text.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    for example in examples:
        ids, start = example.input_ids, example.num_prompt
        if bos is not None and ids[:2] == [bos, bos]:
            raise ConfigError("model.name: this tokenizer opens a text with two begin tokens; use a fixed tokenizer")
        opened = int(bos is not None and ids[0] == bos)
        if eos in ids[opened:start]:
            found = _place(tokenizer, ids[opened:start], eos)
            raise DataError(f"data: a prompt holds the end-of-sequence token as text{found}")
        if ids.index(eos, max(start, opened)) != len(ids) - 1:
            found = _place(tokenizer, ids[start:], eos)
            raise DataError(f"data: a query holds the end-of-sequence token as text{found}")
        if bos not in (None, eos) and bos in ids[1:]:
            raise DataError(f"data: an example holds the begin token as text{_place(tokenizer, ids[1:], bos)}")
        if len(ids) - start < 2:
            raise DataError("data: an example has no query to learn")


def find_unwritable(tokenizer: Any, texts: Sequence[Text], examples: Sequence[Encoded]) -> list[int]:
    """Positions of examples whose query the tokenizer does not give back letter by letter: no model can write it.

    A tokenizer may lower-case, compose accents, or know no token for a character.
    """
    wholes = [tokenizer.decode(e.input_ids, skip_special_tokens=True) for e in examples]
    prompts = [tokenizer.decode(e.input_ids[: e.num_prompt], skip_special_tokens=True) for e in examples]
    pairs = enumerate(zip(texts, wholes, prompts, strict=True))
    return [at for at, ((_, completion), whole, prompt) in pairs if whole[len(prompt) :] != completion]


def _place(tokenizer: Any, ids: Sequence[int], token: int) -> str:
    """Where ``token`` is, in words that can be searched for."""
    at = ids.index(token)
    return f": …{tokenizer.decode(ids[max(0, at - 6) : at + 1])!r}; remove it from the data"
