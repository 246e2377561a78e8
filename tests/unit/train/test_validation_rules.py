"""Which questions a validation asks, which validation was the best, and when patience ends; nothing loads torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import load
from t2s.data.core import Example, TableRef
from t2s.errors import ConfigError, DataError
from t2s.evaluate.categories import category
from t2s.evaluate.statistics import wilson
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.train.validation import Accuracy, choose_questions, describe_choice, find_best, is_over, stratified

SCHEMA = Schema((Table("people", (Column("name", "text"), Column("age", "real"))),))
FORMS = {
    "simple_select": LogicalForm(0, 0, ()),
    "where_filters": LogicalForm(0, 0, (Condition(1, 0, 3),)),
    "aggregation": LogicalForm(1, 1, ()),
}


def asked(kind: str, number: int, source: TableRef | None = None) -> Example:
    return Example(f"{kind}-{number}", f"What is {number}?", SCHEMA, "SELECT name FROM people", FORMS[kind], source)


def split(counts: dict[str, int], source: TableRef | None = None) -> list[Example]:
    return [asked(kind, number, source) for kind, count in counts.items() for number in range(count)]


COUNTS = st.fixed_dictionaries({kind: st.integers(0, 40) for kind in FORMS}).filter(lambda counts: any(counts.values()))


@given(counts=COUNTS, count=st.integers(1, 150), seed=st.integers(0, 5))
def test_a_slice_has_the_shares_of_the_split_to_less_than_one_question(
    counts: dict[str, int], count: int, seed: int
) -> None:
    examples = split(counts)
    chosen = stratified(examples, count, seed)
    taken = Counter(category(example.logical_form) for example in chosen)
    size = min(count, len(examples))
    assert len(chosen) == size == len({example.id for example in chosen})
    assert all(abs(taken[kind] - size * counts[kind] / len(examples)) < 1 for kind in counts)
    assert chosen == stratified(list(examples), count, seed)


def test_a_larger_slice_holds_the_smaller_one() -> None:
    examples = split(dict.fromkeys(FORMS, 30))
    small, large = ({e.id for e in stratified(examples, count, 1)} for count in (12, 48))
    assert small < large and small != {e.id for e in stratified(examples, 12, 2)}


def test_questions_without_rows_are_not_asked(tmp_path: Path) -> None:
    config = load([], ["training.eval_ex_samples=4"])
    bare, whole = split({"simple_select": 9}), split({"aggregation": 9}, TableRef(tmp_path / "x.db", "1-1"))
    assert {e.source is None for e in choose_questions(config, [*bare, *whole])} == {False}
    assert choose_questions(load([], []), whole) == []
    with pytest.raises(DataError, match="no rows to execute on"):
        choose_questions(config, bare)


def history(*values: float, metric: str = "eval_loss") -> list[dict[str, Any]]:
    rows = [{"step": 2 * at, metric: value} for at, value in enumerate(values, start=1)]
    return [{"step": 1, "loss": 0.1}, *rows]


@given(values=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_the_best_is_the_first_of_equals_and_patience_counts_what_came_after(values: list[int]) -> None:
    for metric, best_value in (("eval_loss", min(values)), ("eval_ex", max(values))):
        best = find_best(history(*map(float, values), metric=metric), metric)
        assert best is not None and best.value == best_value
        assert best.step == 2 * (values.index(best_value) + 1)
        assert best.since == len(values) - 1 - values.index(best_value)


def test_a_loss_that_is_no_number_is_never_the_best_and_a_step_counts_once() -> None:
    best = find_best([*history(float("nan"), 3.0, float("nan"), 4.0), {"step": 8, "eval_loss": 4.0}], "eval_loss")
    assert best is not None and (best.step, best.since) == (4, 2)
    assert find_best(history(), "eval_loss") is None


def test_patience_ends_when_it_is_used_up_and_not_before() -> None:
    training = load(
        [], ["training.eval_steps=2", "training.metric_for_best=eval_loss", "training.early_stopping_patience=2"]
    ).training
    ends = [
        is_over(find_best(history(*values), "eval_loss"), training) for values in ((1, 2), (1, 2, 1), (1, 2, 1, 0.9))
    ]
    assert ends == [False, True, False]
    assert not is_over(find_best(history(1, 2, 3, 4), "eval_loss"), load([], []).training)


def test_golds_that_cannot_run_are_left_out_of_the_accuracy() -> None:
    found = Accuracy.of([True, None, False, True, None])
    assert found == Accuracy(2, 3)
    low, high = wilson(2, 3)
    assert found.metrics() == {"eval_ex": 2 / 3, "eval_ex_low": low, "eval_ex_high": high, "eval_ex_n": 3.0}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["early_stopping_patience=2"], "training.metric_for_best"),
        (["early_stopping_patience=2", "eval_steps=2"], "training.metric_for_best"),
        (["metric_for_best=eval_loss"], "training.eval_steps"),
        (["metric_for_best=eval_ex", "eval_steps=2"], "training.eval_ex_samples"),
        (["metric_for_best=loss", "eval_steps=2"], "eval_loss"),
        (["eval_ex_samples=-1"], "eval_ex_samples"),
    ],
)
def test_settings_that_cannot_go_together_are_refused_before_anything_starts(settings: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load([], [f"training.{setting}" for setting in settings])


def test_a_person_is_told_which_step_the_adapter_is_of() -> None:
    config = load([], ["training.eval_steps=2", "training.eval_ex_samples=16", "training.metric_for_best=eval_ex",
                       "training.early_stopping_patience=3"])  # fmt: skip
    metrics = {"step": 20.0, "best_step": 14.0, "stopped_early": 1.0} | Accuracy(13, 16).metrics()
    assert describe_choice(config, metrics) == [
        "stopped early at step 20: eval_ex was not better than at step 14 in 3 validations "
        "(training.early_stopping_patience)",
        "the adapter is that of step 14 of 20, the best by eval_ex (0.8125, 0.5699 to 0.9341 on 16 questions)",
    ]
    assert describe_choice(config, {"step": 20.0, "eval_loss": 1.0}) == []
