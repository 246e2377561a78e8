"""Many adapters in one pass: each adapted layer adds every slot's low-rank product to that slot's own tokens.

The tokens of a slot lie side by side, so that its share of an activation is a view: nothing is gathered, padded or
masked, and no number of one slot ever meets one of another. A hook on each linear layer of the base does the adding,
as one node of autograd for all slots, in place; the gradients of A and B go straight into the slot's own buffer.

Not covered: adapters of embeddings and of the head, and variants of LoRA that are no plain product (DoRA).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from t2s.config import LoraConfig
from t2s.model.skeleton import adapted_layers


@dataclass(frozen=True, slots=True)
class Matrices:
    """One layer's share of an adapter: views of the slot's parameters and of their gradient, in fp32."""

    a: torch.Tensor
    """(rank, in)"""
    b: torch.Tensor
    """(out, rank)"""
    grad_a: torch.Tensor
    grad_b: torch.Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """A slot's tokens in a pass: from ``start`` to ``stop`` of all tokens laid end to end."""

    layers: dict[str, Matrices]
    scaling: float
    start: int = 0
    stop: int | None = None
    """None: to the end."""
    dropout: float = 0.0
    seed: int = 0
    """Of the dropout in this pass; each layer draws its own numbers from it, whoever the neighbours are."""


class Router:
    """Hooks on all linear layers of ``base`` but its head, which add what :meth:`routing` says."""

    def __init__(self, base: Any) -> None:
        self._parts: Sequence[Part] = ()
        self._anchor = torch.zeros((), device=base.device, requires_grad=True)
        everything = LoraConfig(target_modules="all-linear")
        for number, (name, layer) in enumerate(adapted_layers(base, everything).items()):
            layer.register_forward_hook(self._hook(name, number))

    @contextmanager
    def routing(self, parts: Sequence[Part]) -> Iterator[None]:
        """Add these adapters to all that the base computes inside the block, the backward pass included."""
        self._parts = parts
        try:
            yield
        finally:
            self._parts = ()

    def _hook(self, name: str, number: int) -> Any:
        def add(_layer: Any, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> torch.Tensor:
            pieces = [_Piece.of(part, part.layers[name], number) for part in self._parts if name in part.layers]
            if not pieces:
                return result
            # A view of a tensor that something else holds is not for us to write to.
            own = result if result._base is None else result.clone()
            if not torch.is_grad_enabled():
                _forward(own, given[0], pieces, drop=False)
                return own
            return _Routed.apply(own, given[0], self._anchor, pieces)

        return add


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one slot adds in one layer."""

    matrices: Matrices
    part: Part
    seed: int

    @classmethod
    def of(cls, part: Part, matrices: Matrices, layer: int) -> _Piece:
        return cls(matrices, part, part.seed ^ (layer << 40))

    @property
    def tokens(self) -> slice:
        return slice(self.part.start, self.part.stop)

    def mask(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Which inputs dropout keeps: the same ones whenever it is asked in the same pass."""
        if self.part.dropout == 0:
            return None
        generator = torch.Generator(rows.device).manual_seed(self.seed)
        return torch.empty_like(rows, dtype=torch.bool).bernoulli_(1 - self.part.dropout, generator=generator)

    def kept(self, rows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return rows if mask is None else rows * mask * (1 / (1 - self.part.dropout))


def _forward(result: torch.Tensor, x: torch.Tensor, pieces: list[_Piece], drop: bool) -> list[torch.Tensor | None]:
    """Add to ``result`` in place; return (inner product, dropout mask) of each piece, one after the other."""
    inputs, outputs = x.reshape(-1, x.shape[-1]), result.view(-1, result.shape[-1])
    kept: list[torch.Tensor | None] = []
    for piece in pieces:
        rows = inputs[piece.tokens].to(result.dtype)
        mask = piece.mask(rows) if drop else None
        inner = piece.kept(rows, mask) @ piece.matrices.a.t().to(result.dtype)
        outputs[piece.tokens].addmm_(inner, piece.matrices.b.t().to(result.dtype), alpha=piece.part.scaling)
        kept += [inner, mask]
    return kept


class _Routed(torch.autograd.Function):
    """``result`` plus each piece's product; the gradients of A and B are added to the pieces' own buffers.

    The anchor is a tensor that wants a gradient and gets none: without it autograd would not come back to a layer
    whose input has no gradient, which is the first one.
    """

    @staticmethod
    def forward(ctx: Any, result: torch.Tensor, x: torch.Tensor, anchor: torch.Tensor, pieces: list[_Piece]) -> Any:
        kept = _forward(result, x, pieces, drop=True)
        ctx.save_for_backward(x, *kept)
        ctx.pieces = pieces
        ctx.mark_dirty(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        x, *kept = ctx.saved_tensors
        inputs, grads = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        to_x = torch.zeros_like(inputs) if ctx.needs_input_grad[1] else None
        for piece, inner, mask in zip(ctx.pieces, kept[::2], kept[1::2], strict=True):
            own, matrices = grads[piece.tokens], piece.matrices
            rows = piece.kept(inputs[piece.tokens].to(grad.dtype), mask)
            to_inner = (own @ matrices.b.to(grad.dtype)) * piece.part.scaling
            _add(matrices.grad_b, own.t(), inner, piece.part.scaling)
            _add(matrices.grad_a, to_inner.t(), rows, 1.0)
            if to_x is not None:
                to_x[piece.tokens] = piece.kept(to_inner @ matrices.a.to(grad.dtype), mask)
        return grad, None if to_x is None else to_x.view_as(x), None, None


def _add(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, alpha: float) -> None:
    """``total += alpha * left @ right``; ``total`` is fp32 whatever the others are."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, alpha=alpha)
    else:
        total.add_(left @ right, alpha=alpha)
