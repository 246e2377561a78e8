"""The schema part of a prompt, computed once a table: a bounded memory of keys and values, the least used goes
first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from t2s.generate.cache import Saved

MAX_BYTES = 256 * 2**20
"""About 130 schemas of WikiSQL for SmolLM2-135M in fp32 (46 kB a token)."""


class Prefixes:
    """What a beginning is known by -> :class:`Saved`. What alone is above ``max_bytes`` is not kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._kept: OrderedDict[tuple[Any, ...], Saved] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: tuple[Any, ...]) -> Saved | None:
        """What is kept of exactly this."""
        saved = self._kept.get(key)
        if saved is not None:
            self._kept.move_to_end(key)
        return saved

    def keep(self, key: tuple[Any, ...], saved: Saved) -> None:
        """Keep it, and drop the least recently used until all fit."""
        if key in self._kept or saved.num_bytes > self.max_bytes:
            return
        self._kept[key] = saved
        self.num_bytes += saved.num_bytes
        while self.num_bytes > self.max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.num_bytes -= dropped.num_bytes

    def drop(self, which: Callable[[tuple[Any, ...]], bool]) -> None:
        """Forget some."""
        for key in [key for key in self._kept if which(key)]:
            self.num_bytes -= self._kept.pop(key).num_bytes

    def clear(self) -> None:
        """Forget all: the weights have changed."""
        self._kept.clear()
        self.num_bytes = 0
