"""Several answers to one question: by beam search over decisions, or the greedy one and samples.

A beam step is one *decision*: what a grammar forces after it costs nothing and is no step. Scores are log-probabilities
among what is allowed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from t2s.generate.decode import Decoder, Prefix, masked
from t2s.generate.writer import Writer

TEMPERATURE = 0.7
"""Of samples: most are near the greedy answer, some are not."""


@dataclass
class _Beam:
    """One question's hypotheses: those that go on, as rows of the batch, and those that are over, at most ``size``."""

    size: int
    rows: list[int]
    over: list[Writer] = field(default_factory=list)

    def take_over(self, writers: Sequence[Writer]) -> None:
        self.over = sorted([*self.over, *writers], key=lambda writer: -writer.score)[: self.size]

    def may_still_win(self, score: float) -> bool:
        """Scores only fall."""
        return len(self.over) < self.size or score > self.over[-1].score


@torch.inference_mode()
def beam(decoder: Decoder, writers: Sequence[Writer], prefixes: Sequence[Prefix], size: int) -> list[list[Writer]]:
    """The ``size`` most likely answers of each writer, the best first; the writers given are used up."""
    batch = decoder.begin(writers, prefixes)
    live = list(writers)
    beams = [_Beam(size, [row]) for row in range(len(writers))]
    while live:
        plans = [writer.plan(len(writer.pending)) for writer in live]
        logits = masked(decoder.feed(batch, plans), plans).float().log_softmax(-1).cpu()
        width = max(len(plan.block) for plan in plans)
        batch.reject([width - len(plan.block) for plan in plans])
        scores, tokens = logits.topk(min(size, logits.shape[-1]), -1)
        chosen: list[int] = []
        following: list[Writer] = []
        for one in beams:
            found = [
                (live[row].score + score, row, token)
                for row in one.rows
                for score, token in zip(scores[row].tolist(), tokens[row].tolist(), strict=True)
                if score > float("-inf")
            ]
            new = [_extended(live[row], token, score) for score, row, token in sorted(found, reverse=True)[:size]]
            rows = [row for _, row, _ in sorted(found, reverse=True)[:size]]
            one.take_over([writer for writer in new if writer.is_over])
            going = [(r, w) for r, w in zip(rows, new, strict=True) if not w.is_over and one.may_still_win(w.score)]
            one.rows = list(range(len(following), len(following) + len(going)))
            chosen += [row for row, _ in going]
            following += [writer for _, writer in going]
        live = following
        if live:
            batch.choose(chosen)
    return [one.over for one in beams]


def _extended(writer: Writer, token: int, score: float) -> Writer:
    new = writer.fork()
    new.pending = new.write(token)
    new.score = score
    new.stop_if_asked()
    return new


def sample(decoder: Decoder, writers: Sequence[Writer], size: int) -> list[list[Writer]]:
    """The greedy answer and ``size - 1`` samples of each writer, the best first.

    The dice depend on the prompt and on the sample's number alone, so that neighbours do not matter.
    """
    drawn = [[writer, *(writer.fork() for _ in range(size - 1))] for writer in writers]
    dice = [None if number == 0 else _dice(one.prompt, number) for group in drawn for number, one in enumerate(group)]
    flat = [writer for group in drawn for writer in group]
    decoder.write(flat, [tuple(writer.prompt[:-1]) for writer in flat], dice, TEMPERATURE)
    return [sorted(group, key=lambda writer: -writer.score) for group in drawn]


def _dice(prompt: Sequence[int], number: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(np.asarray(prompt, dtype=np.int64).tobytes()), number])
