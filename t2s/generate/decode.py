"""Write the answers of a batch: greedily, or drawn with each row's own dice.

Each pass feeds what is decided. What a grammar forces is fed in one pass together with the decision before it
(jump-forward) as far as that is cheaper than more passes; rows that end leave the batch; a few rows get guesses to
check as well; the schema part of a prompt is computed once a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from t2s.generate.adapters import Adapters
from t2s.generate.batch import Batch
from t2s.generate.cache import Saved
from t2s.generate.drafts import Drafts
from t2s.generate.prefixes import Prefixes
from t2s.generate.writer import Plan, Writer

Prefix = tuple[int, ...]
"""The tokens of the schema part of a prompt."""
Key = tuple[str | None, Prefix]
"""A prefix and the adapter that reads it: keys and values depend on both."""

_PASS_COST = {"cpu": 28}
"""What a pass costs besides its tokens, counted in tokens: reading the weights, Python. Measured with SmolLM2-135M in
fp32 on one AVX2 thread (90 ms and 3.2 ms a token); elsewhere launches dominate."""
_PASS_COST_ELSEWHERE = 1024
_FREE_TOKENS = {"cpu": 8}
"""Tokens in a pass that cost no more than two: guesses may fill it up to that."""
_FREE_TOKENS_ELSEWHERE = 256
_DROP_BELOW = 0.75
"""Rows that have ended leave when so few go on: leaving copies the others."""


class Decoder:
    """A model with its memory of schemas and of earlier answers. Not thread-safe."""

    def __init__(self, model: Any, prefixes: Prefixes, drafts: Drafts | None, adapters: Adapters | None = None) -> None:
        self.model = model
        self.adapters = adapters or Adapters(model)
        self.prefixes = prefixes
        self.drafts = drafts
        device = model.device.type
        self._pass_cost = _PASS_COST.get(device, _PASS_COST_ELSEWHERE)
        self._free_tokens = _FREE_TOKENS.get(device, _FREE_TOKENS_ELSEWHERE)
        self.passes = 0
        """Forward passes so far."""

    @torch.inference_mode()
    def write(
        self,
        writers: Sequence[Writer],
        prefixes: Sequence[Prefix],
        dice: Sequence[np.random.Generator | None] | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Bring all ``writers`` to their end. A row with dice samples; with ``dice`` given, all rows are scored."""
        batch = self.begin(writers, prefixes)
        rows = list(range(len(writers)))
        keys = _keys(writers, prefixes)
        unsaved = [len(key[1]) if self.prefixes.find(key) is None else 0 for key in keys]
        while live := _wanted(writers, rows):
            if len(live) <= _DROP_BELOW * len(rows):
                batch.choose([rows.index(row) for row in live])
                rows = live
            plans = self._plans([writers[row] for row in rows], sampling=dice is not None)
            logits = self.feed(batch, plans)
            decided = iter(_decide(logits, plans, [dice[row] if dice else None for row in rows], temperature))
            width = max(len(plan.block) for plan in plans)
            wrong = []
            for row, plan in zip(rows, plans, strict=True):
                tokens, scores = zip(*[next(decided) for _ in plan.asked], strict=True) if plan.asked else ((), ())
                writers[row].score += sum(scores)
                wrong.append(width - len(plan.block) + writers[row].accept(plan, tokens))
            for place, row in enumerate(rows):
                if unsaved[row] and len(writers[row].prompt) <= int(batch.mask[place].sum()):
                    self.prefixes.keep(keys[row], batch.save(place, unsaved[row]))
                    unsaved[row] = 0
            batch.reject(wrong)
        if self.drafts is not None:
            for writer in writers:
                self.drafts.learn(writer.written, writer.adapter)

    def begin(self, writers: Sequence[Writer], prefixes: Sequence[Prefix]) -> Batch:
        """Start all writers, each after what is known of its prompt."""
        known = self._known(_keys(writers, prefixes))
        for writer, saved in zip(writers, known, strict=True):
            writer.start(saved.num_tokens if saved is not None else 0)
        return Batch(self.model, known, self.adapters, [writer.adapter for writer in writers])

    def feed(self, batch: Batch, plans: Sequence[Plan]) -> torch.Tensor:
        """One pass; logits (number asked, vocabulary)."""
        self.passes += 1
        return batch.feed([plan.block for plan in plans], [plan.asked for plan in plans])

    def forget(self, adapter: str) -> None:
        """Drop what is remembered of schemas and answers of an adapter."""
        self.prefixes.drop(lambda key: key[0] == adapter)
        if self.drafts is not None:
            self.drafts.forget(adapter)

    def _known(self, keys: Sequence[Key]) -> list[Saved | None]:
        """What is kept of each prefix. Those that several rows share are computed first, the others with their row."""
        found = {key: self.prefixes.find(key) for key in keys if key[1]}
        times = Counter(keys)
        shared = [key for key, saved in found.items() if saved is None and times[key] > 1]
        if shared:
            batch = Batch(self.model, [None] * len(shared), self.adapters, [adapter for adapter, _ in shared])
            self.feed(batch, [Plan(list(prefix)) for _, prefix in shared])
            for row, key in enumerate(shared):
                found[key] = batch.save(row, len(key[1]))
                self.prefixes.keep(key, found[key])  # type: ignore[arg-type]  # just made
        return [found.get(key) for key in keys]

    def _plans(self, writers: Sequence[Writer], sampling: bool) -> list[Plan]:
        live = [writer for writer in writers if not writer.is_over]
        width = best_width([len(writer.pending) for writer in live], self._pass_cost)
        room = self._free_tokens // len(live)
        drafts = None if sampling or room < 2 else self.drafts
        return [Plan([]) if writer.is_over else writer.plan(width, room, drafts) for writer in writers]


def _keys(writers: Sequence[Writer], prefixes: Sequence[Prefix]) -> list[Key]:
    return [(writer.adapter, prefix) for writer, prefix in zip(writers, prefixes, strict=True)]


def _wanted(writers: Sequence[Writer], rows: Sequence[int]) -> list[int]:
    """The rows that go on: not over, and somebody still waits for them."""
    for row in rows:
        writers[row].stop_if_asked()
    return [row for row in rows if not writers[row].is_over]


def best_width(pending: Sequence[int], pass_cost: int) -> int:
    """How many tokens a row to feed at most, for the least cost a useful token: a pass costs its padded size and
    ``pass_cost`` more. ``pending`` are the numbers of tokens that wait, at least one each.
    """

    def cost(width: int) -> float:
        return (pass_cost + len(pending) * width) / sum(min(number, width) for number in pending)

    return min(sorted(set(pending), reverse=True), key=cost)


def masked(logits: torch.Tensor, plans: Sequence[Plan]) -> torch.Tensor:
    """``logits`` (number asked, vocabulary) with minus infinity where a token is not allowed."""
    allowed = [mask for plan in plans for mask in plan.allowed]
    if all(mask is None for mask in allowed):
        return logits
    every = np.ones(logits.shape[1], dtype=np.bool_)
    stacked = np.stack([every if mask is None else mask for mask in allowed])
    return logits.masked_fill(~torch.from_numpy(stacked).to(logits.device), float("-inf"))


def _decide(
    logits: torch.Tensor, plans: Sequence[Plan], dice: Sequence[np.random.Generator | None], temperature: float
) -> list[tuple[int, float]]:
    """The chosen token of each place and its log-probability (0 where no row has dice)."""
    if not len(logits):
        return []
    logits = masked(logits, plans)
    if all(die is None for die in dice):
        return [(token, 0.0) for token in logits.argmax(-1).tolist()]
    places = [die for die, plan in zip(dice, plans, strict=True) for _ in plan.asked]
    noisy = logits.float().cpu() / temperature
    for place, die in enumerate(places):
        if die is not None:  # the Gumbel trick: the largest of the noisy logits is a sample
            noisy[place] += torch.from_numpy(die.gumbel(size=logits.shape[1])).to(noisy)
        else:
            noisy[place] *= temperature
    tokens = noisy.argmax(-1, keepdim=True)
    scores = logits.float().cpu().log_softmax(-1).gather(-1, tokens)
    return list(zip(tokens.flatten().tolist(), scores.flatten().tolist(), strict=True))
