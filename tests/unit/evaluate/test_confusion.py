"""Which part of a query is wrong, and how golds and results are counted."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from t2s.evaluate.categories import FACETS, facets
from t2s.evaluate.confusion import EXTRA, MISSING, NO_FORM, confusions
from t2s.evaluate.faults import FAULTS, count_faults, form_faults, result_faults
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.sql.repaired import runs_as_official

SCHEMA = Schema((Table("t", (Column("a"), Column("b", "real"), Column("c"))),))
INDEX = st.integers(-1, 3)
FORMS = st.builds(
    LogicalForm,
    INDEX,
    st.integers(-1, 6),
    st.lists(st.builds(Condition, INDEX, INDEX, st.sampled_from(["x", "X", 1, "y z"])), max_size=3).map(tuple),
)
GOLD = LogicalForm(0, 3, (Condition(1, 0, 5), Condition(2, 0, "New York")))


def cell(predicted: LogicalForm | None, part: str) -> dict[str, dict[str, int]]:
    return confusions([(GOLD, predicted, SCHEMA)])[part]


def test_each_part_is_counted_where_it_goes_wrong() -> None:
    predicted = LogicalForm(2, 1, (Condition(1, 1, 5), Condition(2, 0, "york"), Condition(0, 2, "x")))
    assert cell(predicted, "aggregation") == {"COUNT": {"MAX": 1}}
    assert cell(predicted, "selected_column") == {"text": {"another: text": 1}}
    assert cell(predicted, "operator") == {"=": {"=": 1, ">": 1}, EXTRA: {"<": 1}}
    assert cell(predicted, "condition_value") == {"a string": {"part of the gold's, or around it": 1}}
    assert cell(LogicalForm(0, 3), "operator") == {"=": {MISSING: 2}}
    assert cell(None, "aggregation") == {"COUNT": {NO_FORM: 1}} and cell(None, "operator") == {}


@given(FORMS)
def test_the_gold_itself_is_confused_with_nothing(lf: LogicalForm) -> None:
    found = confusions([(lf, lf, SCHEMA)])
    assert all(row.keys() == {label} for label, row in found["aggregation"].items())
    assert all(row.keys() == {label} for label, row in found["operator"].items())
    assert sum(n for row in found["operator"].values() for n in row.values()) == len(lf.conds)
    assert all(row.keys() == {"the same"} for row in found["condition_value"].values())


@given(FORMS, FORMS)
def test_every_gold_and_every_condition_is_counted_once(gold: LogicalForm, predicted: LogicalForm) -> None:
    found = confusions([(gold, predicted, SCHEMA), (gold, None, SCHEMA)])
    assert sum(n for row in found["aggregation"].values() for n in row.values()) == 2
    operators = found["operator"]
    assert sum(n for label, row in operators.items() if label != EXTRA for n in row.values()) == len(gold.conds)
    matched = sum(n for row in operators.values() for label, n in row.items() if label != MISSING)
    assert matched == len(predicted.conds)
    json.dumps(found)


@given(FORMS)
def test_facets_and_faults_are_known_for_any_form_even_out_of_range(lf: LogicalForm) -> None:
    assert set(facets(lf, SCHEMA)) == set(FACETS) == set(facets(None, SCHEMA))
    faults = form_faults(lf, 3)
    assert set(faults) <= set(FAULTS)
    assert (faults == []) == runs_as_official(lf, 3), "the faults are exactly what keeps both rules from agreeing"


def test_empty_results_are_told_apart() -> None:
    results = [[], [(None,)], [(None,), (None,)], [(0,)], [(0,), (0,)], [("",)], [(None,), (1,)]]
    assert [result_faults(rows) for rows in results] == [["empty"], ["null"], ["null"], ["zero"], [], [], []]
    assert result_faults(None) == []


def test_golds_that_cannot_run_are_listed_and_all_faults_counted() -> None:
    counted = count_faults(
        [("a", ("repeated_column", "empty"), ""), ("b", ("cannot_run",), "why"), ("c", (), "no rows")]
    )
    assert {name: n for name, n in counted["counts"].items() if n} == {
        "repeated_column": 1,
        "empty": 1,
        "cannot_run": 1,
    }
    assert counted["listed"] == [{"id": "b", "faults": ["cannot_run"], "problem": "why"}]
