"""Intervals and the paired test, against known values."""

from __future__ import annotations

import pytest

from t2s.evaluate.statistics import mcnemar_exact, wilson


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
