"""The schema part of a prompt, computed once a table: a bounded memory of keys and values, the least used goes
first."""

from __future__ import annotations

from collections import OrderedDict

from t2s.generate.cache import Saved

MAX_BYTES = 256 * 2**20
"""About 130 schemas of WikiSQL for SmolLM2-135M in fp32 (46 kB a token)."""


class Prefixes:
    """Token ids of a beginning -> :class:`Saved`. What alone is above ``max_bytes`` is not kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._kept: OrderedDict[tuple[int, ...], Saved] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, tokens: tuple[int, ...]) -> Saved | None:
        """What is kept of exactly these tokens."""
        saved = self._kept.get(tokens)
        if saved is not None:
            self._kept.move_to_end(tokens)
        return saved

    def keep(self, tokens: tuple[int, ...], saved: Saved) -> None:
        """Keep it, and drop the least recently used until all fit."""
        if tokens in self._kept or saved.num_bytes > self.max_bytes:
            return
        self._kept[tokens] = saved
        self.num_bytes += saved.num_bytes
        while self.num_bytes > self.max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.num_bytes -= dropped.num_bytes

    def clear(self) -> None:
        """Forget all: the weights have changed."""
        self._kept.clear()
        self.num_bytes = 0
