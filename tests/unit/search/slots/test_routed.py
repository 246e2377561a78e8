"""What the routed product computes, beside the same thing written out for autograd."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from t2s.search.slots.routed import Matrices, Part, Router

IN, OUT = 6, 5
Slots = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.floats(0.1, 4)), min_size=1, max_size=4)
"""Rank, tokens and scaling of each slot."""


class Base(torch.nn.Module):
    """One linear layer, as a base that says which device it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(IN, OUT, bias=True).requires_grad_(False)
        self.device = torch.device("cpu")

    def get_output_embeddings(self) -> Any:
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)  # type: ignore[no-any-return]


def matrices(rank: int) -> Matrices:
    a, b = torch.randn(rank, IN), torch.randn(OUT, rank)
    return Matrices(a, b, torch.zeros_like(a), torch.zeros_like(b))


def parts_of(slots: list[tuple[int, int, float]], dropout: float = 0.0) -> list[Part]:
    parts, at = [], 0
    for number, (rank, tokens, scaling) in enumerate(slots):
        parts.append(Part({"inner": matrices(rank)}, scaling, at, at + tokens, dropout, seed=number))
        at += tokens
    return parts


@given(Slots, st.booleans(), st.integers(0, 99))
def test_each_slot_adds_its_product_to_its_own_tokens_with_autograds_gradients(
    slots: list[tuple[int, int, float]], wants_input: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    base, parts = Base(), parts_of(slots)
    total = sum(tokens for _, tokens, _ in slots)
    x, weights = torch.randn(1, total, IN), torch.randn(1, total, OUT)
    ours, theirs = (x.clone().requires_grad_(wants_input) for _ in range(2))
    with Router(base).routing(parts):
        found = base(ours)
        (found * weights).sum().backward()
    pairs = [[m.clone().requires_grad_() for m in (p.layers["inner"].a, p.layers["inner"].b)] for p in parts]
    pieces = [
        theirs[:, part.start : part.stop] @ a.t() @ b.t() * part.scaling
        for part, (a, b) in zip(parts, pairs, strict=True)
    ]
    expected = base.inner(theirs) + torch.cat(pieces, 1)
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for part, (a, b) in zip(parts, pairs, strict=True):
        torch.testing.assert_close(part.layers["inner"].grad_a, a.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part.layers["inner"].grad_b, b.grad, rtol=1e-4, atol=1e-4)
    if wants_input:
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def test_what_is_no_number_in_one_slot_stays_in_it() -> None:
    torch.manual_seed(0)
    base, parts = Base(), parts_of([(2, 3, 1.0), (4, 2, 1.0), (2, 3, 1.0)])
    x = torch.randn(1, 8, IN)
    x[:, 3:5] = math.nan
    parts[2].layers["inner"].b.fill_(math.inf)
    x.requires_grad_()
    with Router(base).routing(parts):
        base(x).sum().backward()
    first, second, _ = (part.layers["inner"] for part in parts)
    assert second.grad_a.isnan().all() and x.grad is not None and not x.grad[:, 5:].isfinite().all()
    assert first.grad_a.isfinite().all() and first.grad_b.isfinite().all() and x.grad[:, :3].isfinite().all()


def test_dropout_is_a_slots_own_and_the_same_in_both_directions() -> None:
    torch.manual_seed(0)
    base, x = Base(), torch.randn(1, 8, IN)
    router = Router(base)
    alone, among = parts_of([(2, 4, 1.0)], dropout=0.5), parts_of([(2, 4, 1.0), (3, 4, 1.0)], dropout=0.5)
    among[0].layers["inner"].a.copy_(alone[0].layers["inner"].a)
    among[0].layers["inner"].b.copy_(alone[0].layers["inner"].b)
    results = []
    for parts, tokens in ((alone, 4), (among, 8)):
        own = x[:, :tokens].clone().requires_grad_()
        with router.routing(parts):
            result = base(own)
            result[:, :4].sum().backward()
        assert own.grad is not None
        results.append((result[:, :4].detach(), own.grad[:, :4], parts[0].layers["inner"].grad_a))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    (result, to_x, _), part = results[0], alone[0].layers["inner"]
    # Where an input was dropped, only the base passes gradient on.
    dropped = (to_x - base.inner.weight.sum(0)).abs() < 1e-5
    assert 0 < dropped.sum() < dropped.numel()
    kept = torch.where(dropped, 0.0, 2 * x[:, :4])
    torch.testing.assert_close(result, base.inner(x[:, :4]) + kept @ part.a.t() @ part.b.t())
    with torch.no_grad(), router.routing(alone):
        plain = base(x[:, :4])
    torch.testing.assert_close(plain, base.inner(x[:, :4]) + x[:, :4] @ part.a.t() @ part.b.t())


def test_without_routing_the_base_is_bare() -> None:
    base, x = Base(), torch.randn(2, 3, IN)
    before = base(x)
    router = Router(base)
    with router.routing([SimpleNamespace(layers={})]):  # type: ignore[list-item]  # an adapter of other layers
        assert torch.equal(base(x), before)
    assert torch.equal(base(x), before)


def test_half_precision_adds_to_gradients_in_full_precision() -> None:
    torch.manual_seed(0)
    base, parts = Base().to(torch.bfloat16), parts_of([(2, 4, 1.5), (3, 4, 0.5)], dropout=0.25)
    x = torch.randn(1, 8, IN, dtype=torch.bfloat16, requires_grad=True)
    with Router(base).routing(parts):
        result = base(x)
        result.float().square().sum().backward()
    assert result.dtype == torch.bfloat16 and x.grad is not None and x.grad.dtype == torch.bfloat16
    for part in parts:
        for grad in (part.layers["inner"].grad_a, part.layers["inner"].grad_b):
            assert grad.dtype == torch.float32 and grad.isfinite().all() and grad.abs().max() > 0
