"""Examples as prompt and completion texts: drawn with the seed, and none longer than the model may see.

What is checked here is checked before any step: an example that would be cut would lose its end, and the model
would never learn to stop (a promise of this project), so it is left out and counted instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from t2s.config import Config
from t2s.data.core import Example
from t2s.data.sampling import sample
from t2s.errors import DataError
from t2s.prompt import build_completion, build_prompt

Text = tuple[str, str]
"""(prompt, completion), without special tokens."""


@dataclass(frozen=True)
class TrainingTexts:
    """What a training sees, and how many examples were too long for ``training.max_length``."""

    train: list[Text]
    val: list[Text]
    num_too_long: int


def build_texts(config: Config, train: Sequence[Example], val: Sequence[Example], tokenizer: Any) -> TrainingTexts:
    """Draw ``max_train_samples`` and ``max_val_samples`` examples with ``seed`` and render them.

    Raises:
        DataError: nothing is left to train on or to validate with.
    """
    limit = config.training.max_length
    drawn_train = [to_text(e) for e in sample(train, config.training.max_train_samples, config.seed)]
    drawn_val = [to_text(e) for e in sample(val, config.training.max_val_samples, config.seed)]
    kept_train = _short_enough(drawn_train, tokenizer, limit)
    kept_val = _short_enough(drawn_val, tokenizer, limit)
    for name, drawn, kept in (("train", drawn_train, kept_train), ("validation", drawn_val, kept_val)):
        if not kept:
            why = "the split is empty" if not drawn else f"all {len(drawn)} examples are over {limit} tokens"
            raise DataError(f"data: no {name} examples: {why} (training.max_length={limit})")
    dropped = len(drawn_train) - len(kept_train) + len(drawn_val) - len(kept_val)
    return TrainingTexts(kept_train, kept_val, dropped)


def to_text(example: Example) -> Text:
    """Prompt and completion of one example."""
    return build_prompt(example.question, example.schema), build_completion(example.sql)


def _short_enough(texts: list[Text], tokenizer: Any, limit: int) -> list[Text]:
    if not texts:
        return []
    encoded = tokenizer([prompt + completion for prompt, completion in texts])["input_ids"]
    return [text for text, ids in zip(texts, encoded, strict=True) if len(ids) < limit]  # one more for the end
