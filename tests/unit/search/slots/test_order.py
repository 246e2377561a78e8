"""Which examples each step of a slot sees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from t2s.config import Config, load
from t2s.search.slots.slot import Order
from t2s.train.batches import LengthSortedBatches
from t2s.train.encode import Encoded


def settings(size: int, passes: int, seed: int) -> Config:
    return load([], [f"training.batch_size={size}", f"training.gradient_accumulation_steps={passes}", f"seed={seed}"])


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3), st.integers(0, 3), st.integers(1, 4))
def test_steps_cut_the_epochs_of_a_training_into_passes(
    number: int, size: int, passes: int, seed: int, shared: int
) -> None:
    examples = [Encoded([at % 5] * (at % 9 + 2), 1, at % 5) for at in range(number)]
    order = Order(examples, settings(size, passes, seed), shared)
    sampler = LengthSortedBatches(examples, size * passes, seed, shared)
    steps_per_epoch = -(-number // (size * passes))
    for epoch in range(2):
        sampler.set_epoch(epoch)
        steps = [order.passes(epoch * steps_per_epoch + at) for at in range(steps_per_epoch)]
        assert [index for step in steps for one in step for index in one] == list(sampler)
        sizes = [len(one) for step in steps for one in step]
        assert all(length == size for length in sizes[:-1]) and 1 <= sizes[-1] <= size
        assert all(len(step) == passes for step in steps[:-1])


def test_a_step_does_not_depend_on_those_before_it() -> None:
    examples = [Encoded([1] * (at + 2), 1, at) for at in range(11)]
    ahead, straight = (Order(examples, settings(2, 2, 0), 1) for _ in range(2))
    for step in range(7):
        straight.passes(step)
    assert ahead.passes(7) == straight.passes(7)
