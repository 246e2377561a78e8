from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from t2s.evaluate.table import CATEGORY_ORDER, cells, outcomes, summarize, to_markdown


def side(ex: bool | None, lf: bool) -> dict[str, Any]:
    return {"ex": ex, "lf": lf, "repaired_ex": ex, "outcome": "correct" if ex else "wrong"}


def line(category: str, base: bool | None, tuned: bool | None) -> dict[str, Any]:
    return {"category": category, "base": side(base, bool(base)), "tuned": side(tuned, bool(tuned))}


def test_each_category_has_its_row_and_the_last_one_is_all_of_them() -> None:
    rows = summarize([line("aggregation", False, True), line("aggregation", True, True), line("other", False, False)])
    assert [(row["category"], row["n"]) for row in rows] == [("aggregation", 2), ("other", 1), ("overall", 3)]
    assert rows[0]["ex"]["base"]["accuracy"] == 0.5 and rows[0]["ex"]["change"] == 0.5
    assert rows[-1]["ex"]["tuned"]["low"] < 2 / 3 < rows[-1]["ex"]["tuned"]["high"]


def test_questions_without_rows_have_no_execution_accuracy_and_keep_their_logical_form() -> None:
    row = summarize([line("aggregation", None, None)])[-1]
    assert row["ex"]["base"] is None and row["ex"]["change"] is None
    assert row["lf"]["tuned"]["n"] == 1
    assert cells(row)[2:5] == ["–", "–", "–"]


def test_a_gold_without_a_logical_form_counts_for_no_logical_form_accuracy() -> None:
    rows = summarize([line("aggregation", False, True), line("other", True, True)])
    assert rows[1]["lf"]["tuned"] is None and cells(rows[1])[5:] == ["–", "–", "–"]
    assert rows[-1]["lf"]["tuned"]["n"] == 1 and rows[-1]["ex"]["tuned"]["n"] == 2


def test_a_side_that_was_not_measured_is_a_dash_and_not_a_zero() -> None:
    only_tuned = {"category": "other", "tuned": side(True, True)}
    assert cells(summarize([only_tuned])[-1])[2:5] == ["–", "100.0", "–"]
    assert "| overall | 1 | – | 100.0 (" in to_markdown(summarize([only_tuned]))


def test_outcomes_are_counted_most_frequent_first() -> None:
    lines = [line("other", False, True), line("other", False, False), line("other", True, False)]
    assert list(outcomes(lines, "base").items()) == [("wrong", 2), ("correct", 1)]
    assert outcomes([{"category": "other"}], "base") == {}


@given(st.lists(st.tuples(st.sampled_from(CATEGORY_ORDER), st.booleans(), st.booleans()), min_size=1))
def test_the_categories_add_up_to_the_whole(drawn: list[tuple[str, bool, bool]]) -> None:
    rows = summarize([line(*one) for one in drawn])
    assert sum(row["n"] for row in rows[:-1]) == rows[-1]["n"] == len(drawn)
    correct = sum(row["ex"]["tuned"]["accuracy"] * row["n"] for row in rows[:-1])
    assert round(correct) == round(rows[-1]["ex"]["tuned"]["accuracy"] * len(drawn))
