"""The parts of generation that need no model: guesses, the memory of schemas, widths, regimes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import InferenceConfig
from t2s.generate.cache import BatchCache, Saved
from t2s.generate.decode import best_width
from t2s.generate.drafts import Drafts
from t2s.generate.prefixes import Prefixes
from t2s.generate.regime import decoding_regime


def saved(tokens: int) -> Saved:
    return Saved(((torch.full((1, 1, tokens, 4), float(tokens)), torch.zeros(1, 1, tokens, 4)),))


def test_what_always_followed_is_guessed_and_what_varied_is_not() -> None:
    drafts = Drafts()
    for last in range(10, 14):
        drafts.learn([1, 2, 3, last])
    assert drafts.guess([1, 2], []) == 3
    assert drafts.guess([1, 2, 3], []) is None
    assert drafts.guess([9], []) is None


def test_a_value_is_copied_on_from_the_only_place_where_its_last_token_stands() -> None:
    drafts = Drafts()
    assert drafts.guess([5], [4, 5, 6]) == 6
    assert drafts.guess([5], [5, 6, 5, 7]) is None
    assert drafts.guess([6], [4, 5, 6]) is None


def test_the_least_used_schema_is_forgotten_first_and_the_bound_holds() -> None:
    prefixes = Prefixes(max_bytes=3 * saved(2).num_bytes)
    for name in range(3):
        prefixes.keep((name,), saved(2))
    assert prefixes.find((0,)) is not None
    prefixes.keep((3,), saved(2))
    assert [prefixes.find((name,)) is not None for name in range(4)] == [True, False, True, True]
    prefixes.keep((4,), saved(200))
    assert prefixes.find((4,)) is None and prefixes.num_bytes == prefixes.max_bytes
    prefixes.clear()
    assert len(prefixes) == prefixes.num_bytes == 0


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 2000))
def test_no_other_width_costs_less_a_useful_token(pending: list[int], pass_cost: int) -> None:
    def cost(width: int) -> float:
        return (pass_cost + len(pending) * width) / sum(min(number, width) for number in pending)

    chosen = best_width(pending, pass_cost)
    assert cost(chosen) <= min(map(cost, range(1, 61))) * (1 + 1e-9)


def test_one_row_is_fed_at_once_and_a_full_batch_token_by_token() -> None:
    assert best_width([17], 28) == 17
    assert best_width([1] * 60 + [9] * 4, 28) == 1
    assert best_width([1] * 60 + [9] * 4, 10_000) == 9


def test_rows_of_a_cache_begin_at_the_left_and_can_be_chosen_again() -> None:
    cache = BatchCache([saved(2), None, saved(3)])
    assert cache.get_seq_length() == 3
    cache.choose(torch.tensor([2, 2, 0]))
    keys = cache.layers[0].keys[:, 0, :, 0]
    assert keys.tolist() == [[3, 3, 3], [3, 3, 3], [2, 2, 0]]
    for length in range(4, 80):
        cache.update(torch.full((3, 1, 1, 4), 7.0), torch.zeros(3, 1, 1, 4), 0)
        assert cache.get_seq_length() == length
    assert cache.layers[0].keys[2, 0, :4, 0].tolist() == [2, 2, 0, 7]
    cache.take_back(76)
    assert cache.layers[0].keys[:, 0, :, 0].tolist() == keys.tolist()[:1] * 2 + [[2, 2, 0]]
    assert cache.save(0, [0, 1]).num_tokens == 2


def test_a_regime_names_what_is_not_the_default() -> None:
    assert decoding_regime(InferenceConfig()) == "greedy, grammar none"
    guided = InferenceConfig(grammar="wikisql", values="span", execution_guided=3, drop_empty=True, weights="half")
    assert decoding_regime(guided) == (
        "execution-guided (3 beam, no empty results), grammar wikisql, values span, weights half"
    )
