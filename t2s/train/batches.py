"""Batches of equal work: neighbours in length go together, and the order of the batches is shuffled.

Transformers' own ``group_by_length`` sorts only inside groups of up to fifty batches, and for a small data set inside
single batches, which is not at all: with random batches of 16, padding makes WikiSQL 1.7 times as long.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler


class LengthSortedBatches(Sampler[int]):
    """Yields indices so that each run of ``batch_size`` has like lengths.

    Ties are broken anew each epoch, so batches differ between epochs; a last, smaller batch stays last.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer: the order of an epoch depends on the seed and the epoch alone."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self._seed}/{self._epoch}")
        order = sorted(range(len(self)), key=lambda index: (self._lengths[index], draw.random()))
        # Where the full batches begin varies, so that an example does not meet the same neighbours each time.
        spare = len(order) % self._batch_size
        left_out = set(draw.sample(range(len(order)), spare))
        last = [order[position] for position in sorted(left_out)]
        full = [index for position, index in enumerate(order) if position not in left_out]
        batches = [full[start : start + self._batch_size] for start in range(0, len(full), self._batch_size)]
        draw.shuffle(batches)
        yield from (index for batch in [*batches, last] for index in batch)
