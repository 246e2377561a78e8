import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import load
from t2s.search.ladder import PENALTY, Ladder

LADDERS = st.integers(1, 9).flatmap(lambda rungs: st.builds(Ladder, st.just(rungs), st.integers(0, rungs)))
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(LADDERS)
def test_the_last_rungs_ask_questions_and_the_others_do_not(ladder: Ladder) -> None:
    asks = [ladder.measures_ex(rung) for rung in range(1, ladder.rungs + 1)]
    assert asks == [False] * (ladder.rungs - ladder.ex_rungs) + [True] * ladder.ex_rungs


@given(LADDERS, st.data(), ANY, ANY)
def test_an_objective_is_always_finite_and_no_number_is_worst(
    ladder: Ladder, data: st.DataObject, loss: float, accuracy: float
) -> None:
    rung = data.draw(st.integers(1, ladder.rungs))
    metrics = {"eval_loss": loss, "eval_ex": accuracy}
    found = ladder.objective(rung, metrics)
    assert math.isfinite(found) and found <= PENALTY
    if not math.isfinite(metrics[ladder.metric(rung)]):
        assert found == PENALTY and ladder.failed(rung, metrics)


@given(LADDERS, st.data())
def test_a_better_measurement_is_a_lower_objective(ladder: Ladder, data: st.DataObject) -> None:
    rung = data.draw(st.integers(1, ladder.rungs))
    worse, better = data.draw(st.sampled_from([(0.2, 0.6), (0.0, 1.0)]))
    if not ladder.measures_ex(rung):
        worse, better = better, worse
    name = ladder.metric(rung)
    assert ladder.objective(rung, {name: better}) < ladder.objective(rung, {name: worse})


def test_a_rung_without_its_metric_has_failed() -> None:
    ladder = Ladder(2, 1)
    assert ladder.failed(2, {"eval_loss": 0.5}) and not ladder.failed(1, {"eval_loss": 0.5})


@pytest.mark.parametrize(("has_rows", "expected"), [(True, Ladder(4, 2)), (False, Ladder(4, 0))])
def test_data_without_rows_is_ranked_by_loss_alone(has_rows: bool, expected: Ladder) -> None:
    assert Ladder.of(load([], ["search.rungs=4", "search.ex_rungs=2"]), has_rows) == expected
