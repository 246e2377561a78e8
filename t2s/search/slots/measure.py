"""What a slot is measured by at a rung: the exact validation loss, and execution accuracy where the ladder asks for it.

Both are those of a training (:mod:`t2s.train.measure`): the loss is the mean over all labels, and questions are asked
by the evaluation's own generator, with one slot's adapter on the base.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from t2s.config import Config
from t2s.data.core import Example
from t2s.errors import DataError
from t2s.search.slots.adapter import SlotAdapter
from t2s.search.slots.packed import Packer, Share
from t2s.train.encode import Encoded
from t2s.train.harness import Agreed
from t2s.train.measure import ask_questions
from t2s.train.sharing import SharingCollator
from t2s.train.validation import Accuracy


class Measures:
    """Validates the adapters of one search, all on the same examples and questions."""

    def __init__(
        self, packer: Packer, tokenizer: Any, config: Config, examples: Sequence[Encoded], per_row: int
    ) -> None:
        self._packer, self._tokenizer, self._config = packer, tokenizer, config
        size = max(config.training.batch_size, config.inference.batch_size)
        self._batches = _batches(examples, size, SharingCollator(tokenizer.pad_token_id, share=per_row > 1))

    @torch.no_grad()
    def losses(self, adapters: Sequence[SlotAdapter]) -> list[float]:
        """The mean negative log-likelihood of a label, of each adapter; a GPU measures all in the same passes."""
        together = len(adapters) if self._packer.base.device.type == "cuda" else 1
        found: list[float] = []
        for start in range(0, len(adapters), together):
            found += self._losses(adapters[start : start + together])
        return found

    def _losses(self, adapters: Sequence[SlotAdapter]) -> list[float]:
        sums = [0.0] * len(adapters)
        for batch in self._batches:
            shares = [Share(batch, adapter) for adapter in adapters]
            with self._packer.running(shares) as laid_out:
                found = torch.stack(self._packer.losses(laid_out)).tolist()
            sums = [total + one for total, one in zip(sums, found, strict=True)]
        labels = sum(Share(batch).num_labels for batch in self._batches)
        return [total / labels for total in sums]

    def ask(self, adapter: SlotAdapter, questions: Sequence[Example]) -> tuple[Accuracy, float]:
        """Execution accuracy on ``questions``, and seconds a question.

        Raises:
            T2SError: the databases cannot be read, or no gold query can be executed.
        """
        if not questions:
            raise DataError("no questions to ask: execution accuracy needs validation questions with rows")
        started = time.perf_counter()
        found = Accuracy.of(self.verdicts(adapter, questions))
        return found, (time.perf_counter() - started) / len(questions)

    def verdicts(self, adapter: SlotAdapter, questions: Sequence[Example]) -> list[bool | None]:
        """Whether each question is answered right; None is one whose gold query cannot be executed."""
        try:
            with self._packer.answering(adapter) as model:
                return ask_questions(model, self._tokenizer, self._config, questions)
        except Agreed as agreed:
            raise agreed.error from None

    def loss_alone(self, adapter: SlotAdapter, batch: dict[str, torch.Tensor]) -> float:
        """The mean over the labels of ``batch``."""
        share = Share(batch, adapter)
        with torch.no_grad(), self._packer.running([share]) as laid_out:
            return float(self._packer.losses(laid_out)[0]) / max(1, share.num_labels)


def _batches(examples: Sequence[Encoded], size: int, collate: SharingCollator) -> list[dict[str, torch.Tensor]]:
    """Examples of like length together, those about one table side by side."""
    longest: dict[int, int] = {}
    for each in examples:
        longest[each.table] = max(longest.get(each.table, 0), len(each))
    ordered = sorted(examples, key=lambda each: (longest[each.table], each.table, len(each)), reverse=True)
    starts = range(0, len(ordered), min(size, len(ordered)))
    return [collate([asdict(each) for each in ordered[start : start + size]]) for start in starts]
