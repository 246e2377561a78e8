"""How many slots are chosen, and what is said when they do not fit."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import Config, load
from t2s.errors import ConfigError
from t2s.search import pool, slots_mode
from t2s.search.slots import memory
from t2s.search.slots.memory import MOST, Room, Watch
from t2s.train.place import Place

GB = 10**9


@given(st.integers(GB, 100 * GB), st.integers(1, 10 * GB))
def test_as_many_slots_as_fit_and_at_most_eight(free: int, a_slot: int) -> None:
    room = Room(free, a_slot)
    if room.most == 0:
        with pytest.raises(ConfigError, match="slots: even 1 needs about"):
            room.choose(None)
        return
    chosen = room.choose(None)
    assert 1 <= chosen <= MOST and chosen * a_slot <= free
    assert chosen == MOST or (chosen + 1) * a_slot > memory._MARGIN * free


def test_what_is_asked_for_is_given_or_refused_with_the_number_that_fits() -> None:
    room = Room(10 * GB, GB)
    assert room.choose(8) == 8
    with pytest.raises(ConfigError, match=r"^search.slots=64 needs about 64.0 GB, 8.0 GB are available: at most 8$"):
        room.choose(64)
    with pytest.raises(ConfigError, match=r"lower training\.batch_size"):
        Room(GB, 2 * GB).choose(None)


def watch(room: Room, peak: int, slots: int, capacity: int, limit: int) -> tuple[int, list[str]]:
    said: list[str] = []
    with patch.object(memory, "_held", return_value=GB), patch.object(memory, "_peak", return_value=GB + peak):
        one = Watch(room, torch.device("cpu"), said.append)
        for _ in range(6):
            capacity = one.after_pass(slots, capacity, limit)
    return capacity, said


def test_measured_memory_lowers_the_number_but_ends_no_slot_that_runs() -> None:
    room = Room(10 * GB, GB // 2)
    capacity, (line,) = watch(room, peak=8 * GB, slots=4, capacity=8, limit=8)
    assert capacity == 4 and "takes 2.0 GB, not 0.5 GB as estimated: 4 slots instead of 8" in line
    capacity, _ = watch(room, peak=36 * GB, slots=6, capacity=8, limit=8)
    assert capacity == 6


def test_measured_memory_as_estimated_changes_nothing_and_says_nothing() -> None:
    assert watch(Room(10 * GB, GB), peak=4 * GB, slots=4, capacity=8, limit=8) == (8, [])


@pytest.mark.parametrize(
    ("memory_gb", "hosts", "batch", "fits"),
    [(1000, 2, 8, True), (60, 2, 4, True), (14, 2, 1, True), (3, 2, 1, False)],
    ids=["plenty", "half", "an example a pass", "too little"],
)
def test_passes_become_smaller_until_all_hosts_fit_and_a_step_stays(
    memory_gb: int, hosts: int, batch: int, fits: bool
) -> None:
    def estimated(config: Config, *_: object) -> SimpleNamespace:
        size = config.training.batch_size * 1.5 * GB
        return SimpleNamespace(adapter=0, activations=size, memory=lambda on: 2 * GB + size)

    config, said = load([], ["training.batch_size=8", "training.gradient_accumulation_steps=3"]), list[str]()
    place = Place("cpu", "cpu", memory_gb * GB, "fp32", 1.0)
    with patch.object(memory, "estimate", estimated), patch.object(memory, "find_place", return_value=place):
        found, count = pool._fit_passes(config, None, hosts, 2, said.append)
    assert (found.training.batch_size, count >= hosts) == (batch, fits)
    assert found.training.batch_size * found.training.gradient_accumulation_steps == 24
    assert [f"passes of {batch} examples instead of 8" in line for line in said] == ([] if batch == 8 else [True])


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 60))
def test_later_trials_have_earlier_ones_to_learn_from(slots: int, hosts: int, trials: int) -> None:
    together = slots_mode._at_a_time(load([], [f"search.num_trials={trials}"]), slots, hosts)
    assert 1 <= together <= min(slots, max(hosts, trials // 3))
