"""Keys and values of a batch behind the standard cache of transformers, in buffers that grow ahead.

``DynamicCache`` copies everything at every token. Here a layer writes into a buffer and hands out a view of it; rows
can be chosen, repeated and dropped, and the newest slots taken back. Shapes are (rows, heads, slots, width of a head).
A slot that holds nothing for a row is masked by the caller; what stands in it is finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

_AHEAD = 32
"""Slots allocated beyond those in use."""


Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values."""


@dataclass(frozen=True)
class Saved:
    """Keys and values of the first tokens of one row, one pair of (1, heads, tokens, width) a layer."""

    layers: tuple[Pair, ...]

    @property
    def num_tokens(self) -> int:
        """How many tokens they are of."""
        return self.layers[0][0].shape[-2] if self.layers else 0

    @property
    def num_bytes(self) -> int:
        """Memory that they take."""
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)


class Layer(DynamicLayer):
    """One layer's keys and values, ``keys`` and ``values`` being views of the slots in use."""

    keys: torch.Tensor
    values: torch.Tensor

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Append the states of new tokens and return all, as the model's attention expects."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._adopt([_room(key_states), _room(value_states)], 0)
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._adopt([_grown(self.keys, end), _grown(self.values, end)], start)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._adopt(self._buffers, end)
        return self.keys, self.values

    def take_back(self, slots: int) -> None:
        """Forget the newest ``slots``."""
        self._adopt(self._buffers, self.keys.shape[-2] - slots)

    def choose(self, rows: torch.Tensor) -> None:
        """Make these rows, in this order, the batch; a row may come more than once."""
        index = rows.to(self.keys.device)
        self._adopt([buffer.index_select(0, index) for buffer in self._buffers], self.keys.shape[-2])

    def begin(self, saved: Sequence[Pair | None], width: int, like: Pair) -> None:
        """Start with one row for each of ``saved``, in ``width`` slots, filled from the left."""
        shape = [(len(saved), part.shape[1], width + _AHEAD, part.shape[3]) for part in like]
        buffers = [part.new_zeros(size) for part, size in zip(like, shape, strict=True)]
        for row, one in enumerate(saved):
            for buffer, states in zip(buffers, one or (), strict=False):
                buffer[row, :, : states.shape[-2]] = states[0]
        self.lazy_initialization(*like)
        self._adopt(buffers, width)

    def _adopt(self, buffers: list[torch.Tensor], length: int) -> None:
        self._buffers = buffers
        self.keys, self.values = (buffer[:, :, :length] for buffer in buffers)


class BatchCache(Cache):
    """All layers of a batch; made from what is known of each row's first tokens (None for nothing)."""

    layers: list[Layer]  # type: ignore[assignment]  # of all kinds of layers only this one

    def __init__(self, rows: Sequence[Saved | None]) -> None:
        super().__init__(layer_class_to_replicate=Layer)
        known = next((saved for saved in rows if saved is not None and saved.num_tokens), None)
        if known is None:
            return
        width = max(saved.num_tokens for saved in rows if saved is not None)
        for number, like in enumerate(known.layers):
            layer = Layer()
            layer.begin([saved.layers[number] if saved is not None else None for saved in rows], width, like)
            self.layers.append(layer)

    def take_back(self, slots: int) -> None:
        """Forget the newest ``slots`` of all rows."""
        for layer in self.layers if slots else ():
            layer.take_back(slots)

    def choose(self, rows: torch.Tensor) -> None:
        """Make these rows, in this order, the batch."""
        for layer in self.layers:
            layer.choose(rows)

    def save(self, row: int, slots: Sequence[int]) -> Saved:
        """A copy of what ``row`` holds in ``slots``, which must be the slots of its first tokens in order."""
        index = torch.tensor(slots, dtype=torch.long)
        return Saved(
            tuple((_picked(layer.keys, row, index), _picked(layer.values, row, index)) for layer in self.layers)
        )


def _picked(states: torch.Tensor, row: int, slots: torch.Tensor) -> torch.Tensor:
    return states[row : row + 1].index_select(2, slots.to(states.device))


def _room(states: torch.Tensor) -> torch.Tensor:
    rows, heads, new, width = states.shape
    return states.new_zeros((rows, heads, new + _AHEAD, width))


def _grown(states: torch.Tensor, slots: int) -> torch.Tensor:
    """A copy with room for ``slots`` and half as many more."""
    rows, heads, length, width = states.shape
    room = states.new_zeros((rows, heads, slots + max(_AHEAD, slots // 2), width))
    room[:, :, :length] = states
    return room
