"""Who goes on at a rung. Rules are functions of what was measured, so that a resumed search decides the same."""

from __future__ import annotations

import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler

from t2s.search.schedulers import MIN_OTHERS, Asha, Hyperband, Median

SPACINGS = st.sampled_from(["even", "geometric"])
ARRIVALS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=60)


@given(arrivals=ARRIVALS, rungs=st.integers(2, 9), reduction=st.integers(2, 4), spacing=SPACINGS)
def test_asha_decides_as_ray_does(arrivals: list[tuple[int, int]], rungs: int, reduction: int, spacing: str) -> None:
    def steps(rung: int) -> int:
        return rung if spacing == "even" else reduction ** (rung - 1)

    theirs = AsyncHyperBandScheduler(
        time_attr="steps", metric="loss", mode="min", max_t=steps(rungs), reduction_factor=reduction
    )
    ours, measured, stopped = Asha(rungs, reduction, spacing=spacing), {}, set()  # type: ignore[var-annotated]
    for number, loss in arrivals:
        if number in stopped or len(measured.get(number, {})) >= rungs - 1:
            continue
        trial = SimpleNamespace(trial_id=str(number))
        if number not in measured:
            theirs.on_trial_add(None, trial)  # type: ignore[arg-type]
        rung = len(measured.setdefault(number, {})) + 1
        measured[number][rung] = own = loss + math.sqrt(number + 100 * rung) / 1000
        wanted = theirs.on_trial_result(None, trial, {"steps": steps(rung), "loss": own})  # type: ignore[arg-type]
        # Losses that lie apart: of equals, Ray's own rounding decides.
        assert ours.stops(number, rung, measured) == (wanted == "STOP")
        if wanted == "STOP":
            stopped.add(number)


def test_of_trials_that_arrive_together_the_better_half_goes_on() -> None:
    measured = {number: {1: float(number)} for number in range(1, 9)}
    assert [number for number in measured if not Asha(4, 2).stops(number, 1, measured)] == [1, 2, 3, 4]


def test_equals_go_on_and_so_does_who_is_alone() -> None:
    assert not Asha(3, 2).stops(1, 1, {1: {1: 5.0}})
    equal = {number: {1: 0.25} for number in range(6)}
    assert not any(Asha(3, 2).stops(number, 1, equal) for number in equal)


@given(
    rungs=st.integers(1, 30),
    reduction=st.integers(2, 5),
    spacing=SPACINGS,
    values=st.lists(st.floats(0, 1), min_size=2, max_size=9),
)
def test_nobody_is_stopped_at_the_last_rung(rungs: int, reduction: int, spacing: str, values: list[float]) -> None:
    measured = {number: {rungs: value} for number, value in enumerate(values, 1)}
    asha, hyperband = Asha(rungs, reduction, spacing=spacing), Hyperband(rungs, reduction, spacing)
    for rule in (asha, hyperband, Median(rungs)):
        assert not any(rule.stops(number, rungs, measured) for number in measured)


def test_hyperbands_later_brackets_begin_to_compare_later_and_compare_their_own() -> None:
    for rule in (Hyperband(rungs=8, reduction=2), Hyperband(rungs=4, reduction=2, spacing="geometric")):
        check_brackets(rule)


def check_brackets(rule: Hyperband) -> None:
    brackets = {number: rule.bracket(number) for number in range(1, 17)}
    assert set(brackets.values()) == {0, 1, 2, 3}
    assert [sum(bracket == each for bracket in brackets.values()) for each in (0, 1, 2, 3)] == [8, 4, 2, 2]
    measured = {number: {1: float(number), 2: float(number)} for number in brackets}
    stopped_early = {brackets[number] for number in brackets if rule.stops(number, 1, measured)}
    stopped_later = {brackets[number] for number in brackets if rule.stops(number, 2, measured)}
    assert stopped_early == {0} and stopped_later == {0, 1}


def test_median_waits_for_enough_others() -> None:
    measured = {number: {1: float(number)} for number in range(1, MIN_OTHERS + 1)}
    assert not Median(3).stops(MIN_OTHERS, 1, measured)
    measured[99] = {1: 99.0}
    assert Median(3).stops(99, 1, measured) and not Median(3).stops(1, 1, measured)
