"""Forward passes over a batch whose rows get different numbers of tokens, through the standard cache of transformers.

A pass feeds each row a block of its next tokens. Shorter blocks are padded on the right; what a padded slot holds is
masked for good, and positions count real tokens only, so that a row does not depend on its neighbours. The LM head is
computed where a decision is due and nowhere else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from t2s.generate.adapters import Adapters, unwrapped
from t2s.generate.attention import grouped
from t2s.generate.cache import BatchCache, Saved


class Batch:
    """The rows that are being written. ``mask`` is (rows, slots): which slots hold a token of the row.

    ``names`` says whose each row is among ``adapters``; without, all are what the model itself is.
    """

    def __init__(
        self,
        model: Any,
        known: Sequence[Saved | None],
        adapters: Adapters | None = None,
        names: Sequence[str | None] | None = None,
    ) -> None:
        self.model = model
        self.adapters, self.names = adapters or Adapters(model), list(names or [None] * len(known))
        self.device = model.device
        self.cache = BatchCache(known)
        lengths = [saved.num_tokens if saved is not None else 0 for saved in known]
        width = self.cache.get_seq_length()
        self.mask = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]

    @property
    def num_rows(self) -> int:
        """Rows in the batch."""
        return self.mask.shape[0]

    def feed(self, blocks: Sequence[Sequence[int]], asked: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append ``blocks`` (one a row) and return logits (number asked, vocabulary), row after row.

        ``asked`` are offsets into a row's block after which the next token is wanted.
        """
        width = max(map(len, blocks))
        tokens = torch.tensor([[*block, *[0] * (width - len(block))] for block in blocks])
        real = torch.arange(width)[None, :] < torch.tensor([len(block) for block in blocks])[:, None]
        fed = self.mask.sum(1, keepdim=True)
        positions = fed + (real.cumsum(1) - 1).clamp(min=0)
        self.mask = torch.cat([self.mask, real], 1)
        rows = torch.tensor([row for row, offsets in enumerate(asked) for _ in offsets], dtype=torch.long)
        offsets = torch.tensor([offset for offsets in asked for offset in offsets], dtype=torch.long)
        head = _head_only_at(self.model, rows.to(self.device), offsets.to(self.device))
        with grouped(self.model), self.adapters.writing(self.names), head as picked:
            logits = self.model(
                input_ids=tokens.to(self.device),
                attention_mask=self.mask.to(self.device, torch.long),
                position_ids=positions.to(self.device),
                use_cache=True,
                **{cache_argument(type(unwrapped(self.model)).forward): self.cache},
            ).logits
        return logits[0] if picked else logits[rows.to(self.device), offsets.to(self.device)]

    def reject(self, slots: Sequence[int]) -> None:
        """Take back the newest so many tokens of each row's last block, counted from the block's end, pads included."""
        common = min(slots)
        if common:
            self.cache.take_back(common)
            self.mask = self.mask[:, : self.mask.shape[1] - common]
        for row, number in enumerate(slots):
            if number > common:
                self.mask[row, self.mask.shape[1] - (number - common) :] = False

    def choose(self, rows: Sequence[int]) -> None:
        """Make these rows, in this order, the batch; a row may come more than once."""
        index = torch.tensor(rows, dtype=torch.long)
        self.cache.choose(index)
        self.mask = self.mask[index]
        self.names = [self.names[row] for row in rows]

    def save(self, row: int, num_tokens: int) -> Saved:
        """A copy of the keys and values of the first tokens of ``row``."""
        return self.cache.save(row, self.mask[row].nonzero().flatten()[:num_tokens].tolist())


@functools.cache
def cache_argument(forward: Callable[..., Any]) -> str:
    """What a base's ``forward`` calls the cache, which transformers 5.24 gave another name."""
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


@contextmanager
def _head_only_at(model: Any, rows: torch.Tensor, offsets: torch.Tensor) -> Iterator[list[bool]]:
    """Give the LM head these places of the hidden states (rows, tokens, width) as (1, places, width).

    The list that is yielded stays empty if the model has no head of its own to be given anything.
    """
    picked: list[bool] = []

    def pick(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        picked.append(True)
        return (inputs[0][rows.to(inputs[0].device), offsets.to(inputs[0].device)].unsqueeze(0), *inputs[1:])

    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(pick) if isinstance(head, torch.nn.Module) else None
    try:
        yield picked
    finally:
        if handle is not None:
            handle.remove()


def is_supported(model: Any) -> bool:
    """Whether ``model`` is a decoder whose layers all attend through the standard cache."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    stateful = bool(getattr(model, "_is_stateful", False))
    return not (stateful or config.is_encoder_decoder) and kinds <= {"full_attention", "sliding_attention"}


def longest(model: Any) -> int | None:
    """Slots that a batch may use before a sliding window would count padded ones; None is no limit."""
    config = model.config.get_text_config()
    uses = getattr(config, "use_sliding_window", True)
    window = getattr(config, "sliding_window", None) if uses else None
    return window or getattr(config, "attention_chunk_size", None)
