"""Who is asked again at the end, and who wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import RunError
from t2s.search.finalists import choose, compare, sweep_trials, winner
from t2s.search.ladder import Ladder
from t2s.search.record import RungRecord, State, Trial

LADDER = Ladder(rungs=2, ex_rungs=1)


def trial(number: int, ex: float | None, loss: float = 1.0, state: State = "finished") -> Trial:
    rungs = [RungRecord(1, 8, {"eval_loss": loss}, 0.0)]
    if ex is not None:
        rungs.append(RungRecord(2, 16, {"eval_loss": loss, "eval_ex": ex}, 0.0))
    return Trial(number, {}, state, rungs)


def test_the_best_of_the_last_rung_and_the_configured_setting() -> None:
    trials = [trial(1, 0.2), trial(2, 0.5, 0.9), trial(3, 0.5, 0.8), trial(4, None, 0.1, "stopped"), trial(5, 0.4)]
    assert choose(trials, LADDER, 2) == [3, 2, 1]
    assert choose([*trials, trial(6, 0.99, state="failed")], LADDER, 1) == [3, 1]


def test_if_a_budget_ended_all_the_furthest_rung_decides_by_its_own_objective() -> None:
    assert choose([trial(2, None, 0.9, "stopped"), trial(3, None, 0.8, "stopped")], LADDER, 1) == [3]


def test_no_measurement_is_one_line_with_the_first_reason() -> None:
    failed = Trial(1, {}, "failed", error="step 1: the loss is nan")
    with pytest.raises(RunError, match="no trial finished: trial 1: step 1: the loss is nan"):
        choose([failed], LADDER, 2)


def test_the_highest_mean_wins_and_of_equals_the_lower_loss() -> None:
    verdicts = {
        1: [[True, False, False, None]],
        2: [[True, True, False, None], [False, False, False, None]],
        3: [[True, False, False, None]],
    }
    found = compare(verdicts, {1: 0.5, 2: 0.1, 3: 0.4})
    assert [each.number for each in found] == [2, 3, 1] and winner(found).number == 2
    second = next(each for each in found if each.number == 2)
    assert second.ex == pytest.approx(1 / 3) and len(second.accuracies) == 2
    assert second.against_default is not None and second.against_default["difference"] == pytest.approx(1 / 3)
    assert second.against_default["n"] == 3
    assert next(each for each in found if each.number == 1).against_default is None


def test_without_rows_the_lowest_loss_wins() -> None:
    assert winner(compare({1: [[]], 4: [[]]}, {1: 0.5, 4: 0.4})).number == 4
    assert winner(compare({1: [], 4: []}, {1: 0.3, 4: 0.4})).number == 1


@given(st.sets(st.integers(1, 20)), st.sets(st.integers(1, 20)))
def test_only_what_ended_trials_left_is_removed(tmp_path_factory: pytest.TempPathFactory, ended, keep) -> None:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("trials")
    for name in [*map(str, range(1, 21)), "a-trainers-own"]:
        (folder / name).mkdir()
    sweep_trials(folder, ended, keep)
    left = {path.name for path in folder.iterdir()}
    assert left == {"a-trainers-own", *(str(number) for number in range(1, 21) if number not in ended - keep)}
