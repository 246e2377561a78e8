"""One pass over the batches of several slots: laid end to end, without padding one to the length of another.

All tokens go through the base as one row, so that each linear layer runs once (and a 4-bit weight is decoded once).
Attention alone knows where a slot's batch begins: a function registered with transformers cuts the row into the
batches that it is made of and runs each as it would run alone, with its own mask. Positions are those of the batches.

A base whose attention does not come by that function, or whose numbers depend on it otherwise, gets the rows of all
batches padded to one length instead (:func:`packs_exactly` asks the base itself). Not covered: bases that mix rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from t2s.model.precision import DTYPES
from t2s.search.slots.adapter import SlotAdapter
from t2s.search.slots.routed import Router
from t2s.train.encode import IGNORED, Encoded
from t2s.train.sharing import SharingCollator

_ATTENTION = "t2s_packed"
_TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 5e-3}
"""Of a batch's loss: a few roundings, by the precision."""


@dataclass(frozen=True, slots=True)
class Share:
    """A slot's batch in a pass, as :class:`SharingCollator` made it; no adapter is the bare base."""

    batch: dict[str, torch.Tensor]
    adapter: SlotAdapter | None = None
    seed: int = 0
    """Of its dropout in this pass."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and time."""
        rows, time = self.batch["input_ids"].shape
        return rows, time

    @property
    def num_labels(self) -> int:
        """Tokens that are predicted."""
        return int((self.batch["labels"][:, 1:] != IGNORED).sum())

    def padded(self, width: int, pad: int) -> Share:
        """The same rows, ``width`` long."""
        missing = width - self.shape[1]
        fills = {"input_ids": pad, "labels": IGNORED, "position_ids": 0}
        batch = {
            name: torch.nn.functional.pad(self.batch[name], (0, missing), value=fill) for name, fill in fills.items()
        }
        mask = self.batch["attention_mask"]
        wider = torch.nn.functional.pad(mask, (0, missing) * (mask.dim() // 2))
        if mask.dim() == 4:
            # A token of padding sees the first token: a row of nothing at all would be NaN.
            wider[:, :, self.shape[1] :, 0] = True
        return replace(self, batch=batch | {"attention_mask": wider})


class Packer:
    """Runs passes over ``base``; one at a time in a process."""

    def __init__(self, base: Any, pad_token_id: int, precision: str) -> None:
        self.base, self.router = base, Router(base)
        self.is_flat = True
        """Whether batches are laid end to end; else they are padded to one length."""
        self._pad, self.precision = pad_token_id, precision
        self._wanted: torch.Tensor | None = None
        base.get_output_embeddings().register_forward_pre_hook(self._select)
        AttentionInterface.register(_ATTENTION, _attend)

    def losses(self, shares: Sequence[Share]) -> list[torch.Tensor]:
        """The sum of the negative log-likelihoods of each share's labels; ``shares`` are what :meth:`running` gives."""
        labels = torch.cat([share.batch["labels"][:, 1:][share.batch["labels"][:, 1:] != IGNORED] for share in shares])
        logits = self._logits(shares)
        nll = torch.nn.functional.cross_entropy(logits.float(), labels.to(logits.device), reduction="none")
        return [piece.sum() for piece in nll.split([share.num_labels for share in shares])]

    @contextmanager
    def running(self, shares: Sequence[Share]) -> Iterator[list[Share]]:
        """A forward and backward pass of ``shares``, which come back as they are laid out."""
        shares = self._arranged(shares)
        starts = [0, *accumulate(rows * time for rows, time in (share.shape for share in shares))]
        spans = list(zip(shares, pairwise(starts), strict=True))
        parts = [share.adapter.part(start, stop, share.seed) for share, (start, stop) in spans if share.adapter]
        with self.router.routing(parts), self._attention(shares):
            yield shares

    @contextmanager
    def answering(self, adapter: SlotAdapter) -> Iterator[Any]:
        """The base as an ordinary model that has ``adapter``, whatever it is asked."""
        with self.router.routing([adapter.part()]):
            yield self.base

    def _arranged(self, shares: Sequence[Share]) -> list[Share]:
        if self.is_flat:
            return list(shares)
        width = max(share.shape[1] for share in shares)
        return [share.padded(width, self._pad) for share in shares]

    def _logits(self, shares: Sequence[Share]) -> torch.Tensor:
        """(labels, vocabulary), of the positions that predict a label."""
        device = self.base.device
        columns = ("input_ids", "position_ids", "labels")
        flat = {name: torch.cat([share.batch[name].reshape(-1) for share in shares]) for name in columns[:2]}
        given: dict[str, Any] = {}
        rows = 1
        if not self.is_flat:
            rows = sum(share.shape[0] for share in shares)
            masks = [share.batch["attention_mask"] for share in shares]
            is_shared = any(mask.dim() == 4 for mask in masks)
            given["attention_mask"] = torch.cat([_square(mask) for mask in masks] if is_shared else masks).to(device)
        wanted = [torch.nn.functional.pad(share.batch["labels"][:, 1:] != IGNORED, (0, 1)) for share in shares]
        self._wanted = torch.cat([mask.reshape(-1) for mask in wanted]).nonzero()[:, 0].to(device)
        inputs = {name: tokens.view(rows, -1).to(device) for name, tokens in flat.items()}
        try:
            with torch.autocast(device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
                return self.base(**inputs, **given, use_cache=False).logits
        finally:
            self._wanted = None

    def _select(self, head: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Before the head: only the positions that predict a label, while a loss is being computed."""
        if self._wanted is None:
            return arguments
        return (arguments[0].flatten(0, 1)[self._wanted], *arguments[1:])

    @contextmanager
    def _attention(self, shares: Sequence[Share]) -> Iterator[None]:
        """While batches lie end to end, attention is ours; what the base says when it answers questions is its own."""
        if not self.is_flat:
            yield
            return
        own = self.base.config._attn_implementation
        _segments[:] = [_Segment.of(share, self.base.device) for share in shares]
        self.base.config._attn_implementation = _ATTENTION
        try:
            yield
        finally:
            self.base.config._attn_implementation = own
            _segments.clear()
            _asked.clear()


@dataclass(frozen=True, slots=True)
class _Segment:
    """One batch in the row: how to attend in it."""

    rows: int
    time: int
    mask: torch.Tensor | None
    """(rows, 1, time, time) where rows are shared by several questions; None is causal."""

    @classmethod
    def of(cls, share: Share, device: torch.device) -> _Segment:
        mask = share.batch["attention_mask"]
        # Padding is on the right, where a causal mask hides it from every token before it.
        return cls(*share.shape, mask.to(device) if mask.dim() == 4 else None)

    def mask_for(self, window: int | None, device: torch.device) -> torch.Tensor | None:
        """With a sliding window that is shorter than the rows, who is seen through it."""
        if self.mask is not None or window is None or self.time <= window:
            return self.mask
        causal = torch.ones(self.time, self.time, dtype=torch.bool, device=device).tril()
        return causal.triu(1 - window)[None, None]


_segments: list[_Segment] = []
"""Of the pass that runs in this process; a backward pass with checkpointing asks again, in a thread of its own."""
_asked: list[torch.nn.Module] = []
"""The layers whose attention came by :func:`_attend` in that pass."""


def _attend(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: Any, **given: Any
) -> tuple[torch.Tensor, None]:
    """Attention inside each segment. Shapes are (1, heads, tokens, size); the result is (1, tokens, heads, size)."""
    given |= {"dropout": 0.0, "is_causal": None}
    _asked.append(module)
    at, results = 0, []
    for segment in _segments:
        tokens = slice(at, at := at + segment.rows * segment.time)
        q, k, v = (
            whole[0, :, tokens].unflatten(1, (segment.rows, segment.time)).transpose(0, 1)
            for whole in (query, key, value)
        )
        mask = segment.mask_for(given.get("sliding_window"), query.device)
        result, _ = sdpa_attention_forward(module, q, k, v, mask, **given)
        results.append(result.flatten(0, 1))
    return torch.cat(results)[None], None


def _square(mask: torch.Tensor) -> torch.Tensor:
    """A mask of (rows, time) or (rows, 1, time, time) as the latter, boolean."""
    if mask.dim() == 4:
        return mask
    time = mask.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool).tril()
    return causal & mask[:, None, None, :].bool() | torch.eye(time, dtype=torch.bool)


@torch.no_grad()
def packs_exactly(packer: Packer, examples: Sequence[Encoded], pad_token_id: int) -> bool:
    """Whether batches laid end to end have the losses that they have alone, by the base's own attention.

    An untrained base may say the same whatever it sees, so that every layer must also have asked :func:`_attend`.
    """
    collate = SharingCollator(pad_token_id, share=False)
    by_length = sorted(examples, key=len)
    longer = next((each for each in by_length if len(each) > len(by_length[0])), by_length[-1])
    chosen = [by_length[:1], [by_length[0], longer]]  # unlike lengths, and little to compute
    shares = [Share(collate([asdict(example) for example in batch])) for batch in chosen]
    try:
        with packer.running(shares) as laid_out:
            together = torch.stack(packer.losses(laid_out))
            if len(_asked) != packer.base.config.num_hidden_layers:
                return False
    except (RuntimeError, ValueError, TypeError, IndexError):  # an architecture may trip over it in its own way
        return False
    packer.is_flat = False
    try:
        alone = []
        for share in shares:
            with packer.running([share]) as laid_out:
                alone += packer.losses(laid_out)
    finally:
        packer.is_flat = True
    return torch.allclose(together, torch.stack(alone), rtol=_TOLERANCE[packer.precision], atol=0)
