"""The laws of comparing results."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from t2s.evaluate.rows import difference, same_rows

ROWS = st.lists(st.tuples(st.sampled_from([1, 2.0, "a", "A", None, "1"]), st.integers(0, 2)), max_size=6)
Rows = list[tuple[Any, ...]]


@given(ROWS, st.randoms(use_true_random=False))
def test_without_an_order_any_permutation_is_the_same_and_with_one_only_the_same_sequence(
    rows: Rows, random: Any
) -> None:
    shuffled = random.sample(rows, len(rows))
    assert same_rows(shuffled, rows, None)
    assert same_rows(shuffled, rows, (1,) * len(rows)) == (shuffled == rows)
    assert same_rows(shuffled, rows, (len(rows),)) or not rows


@given(ROWS, ROWS)
def test_sameness_is_symmetric_and_a_difference_is_named(one: Rows, other: Rows) -> None:
    assert same_rows(one, other, None) == same_rows(other, one, None)
    if not same_rows(one, other, None):
        assert difference(one, other, None)


@given(ROWS.filter(bool))
def test_a_row_too_many_is_another_result(rows: Rows) -> None:
    assert not same_rows([*rows, rows[0]], rows, None)
    assert not same_rows(rows[1:], rows, None)


def test_numbers_that_are_not_numbers_are_equal_and_nearly_equal_sums_too() -> None:
    assert same_rows([(math.nan,)], [(float("nan"),)], None)
    assert same_rows([(0.1 + 0.2,)], [(0.3,)], None) and not same_rows([(0.3000001,)], [(0.3,)], None)
    assert same_rows([(True,)], [(1,)], None) and not same_rows([("1",)], [(1,)], None)


@given(ROWS.filter(lambda rows: len(set(rows)) > 1))
def test_the_same_rows_in_other_numbers_are_another_result(rows: Rows) -> None:
    one, other = next((a, b) for a in rows for b in rows if a != b)
    assert not same_rows([*rows, one], [*rows, other], None)
    assert not same_rows([*rows, one], [*rows, other], (len(rows) + 1,))
    assert difference([*rows, one], [*rows, other], None) == "the same rows, but not as often: duplicates count"
