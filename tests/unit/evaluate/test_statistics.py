"""Intervals and paired tests: against known values, and by the laws they obey."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.evaluate.paired import paired
from t2s.evaluate.statistics import mcnemar_exact, paired_bootstrap, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # As statsmodels' proportion_confint(method="wilson") gives them.
    [(8, 10, 0.49016, 0.94332), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (450, 1000, 0.41944, 0.48097)],
)
def test_wilson_gives_the_known_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_of_nothing_is_everything_and_impossible_counts_are_errors() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    for bad in ((-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)):
        with pytest.raises(ValueError, match="need 0 <= successes"):
            wilson(*bad)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    # Twice the smaller binomial tail at one half: 2 * 79 / 4096, 2 * (1/2)**6, and so on.
    [(10, 2, 0.03857421875), (0, 6, 0.03125), (5, 5, 1.0), (0, 0, 1.0), (1, 0, 1.0), (2000, 1900, 0.112894)],
)
def test_mcnemar_gives_the_exact_p_of_both_sides(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar_exact(only_first, only_second) == pytest.approx(p, abs=1e-5)
    assert mcnemar_exact(only_second, only_first) == mcnemar_exact(only_first, only_second)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        mcnemar_exact(-1, 2)


COUNTS = st.integers(0, 40).flatmap(
    lambda a: st.integers(0, 40).flatmap(lambda b: st.integers(0, 60).map(lambda rest: (a, b, max(1, a + b + rest))))
)


@given(COUNTS)
def test_the_bootstrap_holds_the_difference_and_swapping_the_systems_negates_it(counts: tuple[int, int, int]) -> None:
    first, second, n = counts
    low, high = paired_bootstrap(first, second, n, resamples=500)
    assert -1 <= low <= (first - second) / n <= high <= 1
    assert paired_bootstrap(second, first, n, resamples=500) == (-high, -low)
    assert paired_bootstrap(first, second, n, resamples=500) == (low, high), "the seed decides"


def test_the_bootstrap_is_that_of_the_questions_themselves() -> None:
    """Beside scipy's, which draws the questions one by one."""
    stats = pytest.importorskip("scipy.stats")
    marks = [1] * 30 + [-1] * 12 + [0] * 58
    theirs = stats.bootstrap(
        (marks,), lambda m: sum(m) / len(m), method="percentile", n_resamples=4000, vectorized=False
    )
    ours = paired_bootstrap(30, 12, 100)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Of 400 simulated evaluations of 200 questions: near 95%, within four standard errors."""
    random = Random(0)
    inside_wilson = inside_bootstrap = 0
    for _ in range(400):
        drawn = random.choices(["first", "second", "both"], [0.2, 0.1, 0.7], k=200)
        first, second = drawn.count("first"), drawn.count("second")
        low, high = wilson(first, 200)
        inside_wilson += low <= 0.2 <= high
        low, high = paired_bootstrap(first, second, 200, resamples=400)
        inside_bootstrap += low <= 0.1 <= high
    assert 364 <= inside_wilson <= 396
    assert 364 <= inside_bootstrap <= 396


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 100), st.integers(1, 100))
def test_wilson_mirrors_and_narrows(successes: int, more: int) -> None:
    n = successes + more
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))
    assert wilson(4 * successes, 4 * n)[1] - wilson(4 * successes, 4 * n)[0] < high - low


def test_impossible_counts_are_refused_by_the_bootstrap() -> None:
    for counts in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="need 0 <= counts"):
            paired_bootstrap(*counts)
    with pytest.raises(ValueError, match="resamples"):
        paired_bootstrap(1, 1, 5, resamples=0)


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None])), min_size=1))
def test_a_comparison_takes_the_questions_that_both_have_in_any_order(
    pairs: list[tuple[bool | None, bool | None]],
) -> None:
    found = paired(pairs)
    both = [pair for pair in pairs if None not in pair]
    assert (found is None) == (not both)
    if found:
        assert found == paired(pairs[::-1])
        assert found.n == len(both)
        assert found.first.correct - found.second.correct == found.only_first - found.only_second
        assert found.difference == pytest.approx(found.first.accuracy - found.second.accuracy)
