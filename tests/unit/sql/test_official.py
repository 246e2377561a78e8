"""The official semantics: agreement with the official script, line by line, and the faults that it has."""

from __future__ import annotations

import bz2
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from t2s.errors import DataError, SQLError
from t2s.sql.core import Condition, LogicalForm
from t2s.sql.official import OfficialEngine, cast_value, official_lf_match, raw_lf_match, score_raw
from t2s.sql.repaired import execute_repaired

ROWS = [("oslo", 1990.0, None), ("bergen", 1995.0, "x"), ("oslo", 2000.0, "y")]


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    path = tmp_path / "cities.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE table_1_2_3 (col0 text, col1 real, col2 text)")
        connection.executemany("INSERT INTO table_1_2_3 VALUES (?, ?, ?)", ROWS)
        connection.commit()
    with OfficialEngine(path) as opened:
        yield opened


def read_lines(path: Path) -> list[bytes]:
    return bz2.decompress(path.read_bytes()).splitlines()


def test_all_lines_of_the_parity_file_agree_with_the_official_script(shared_wikisql: Path, wikisql_files: Path) -> None:
    lines = list(map(json.loads, read_lines(shared_wikisql / "parity.jsonl.bz2")))
    with OfficialEngine(wikisql_files / "dev.db") as engine:
        ours = [score_raw(engine, line["table_id"], line["sql"], line["prediction"]) for line in lines]
    assert len(lines) == 1000
    assert ours == [(line["ex"], line["lf"]) for line in lines]


def test_the_official_example_predictions_have_the_known_lf(shared_wikisql: Path) -> None:
    with tarfile.open(shared_wikisql / "official-dev.tar.bz2") as archive:
        member = archive.extractfile("./dev.jsonl")
        assert member is not None
        golds = [json.loads(line) for line in member]
    path = shared_wikisql / "official-dev-example-predictions.jsonl.bz2"
    predictions = [json.loads(line) for line in read_lines(path)]
    pairs = zip(golds, predictions, strict=True)
    verdicts = [score_raw(None, gold["table_id"], gold["sql"], prediction) for gold, prediction in pairs]
    assert {ex for ex, _ in verdicts} == {None}
    assert (sum(lf for _, lf in verdicts), len(verdicts)) == (3807, 8421)


def test_values_are_lower_cased_and_results_keep_order_and_nulls(engine: OfficialEngine) -> None:
    oslo = LogicalForm(2, 0, (Condition(0, 0, "OSLO"),))
    assert engine.execute("1-2-3", oslo) == [None, "y"]
    assert engine.execute("1-2-3", oslo, lower=False) == []
    assert engine.execute("1-2-3", LogicalForm(2, 3)) == [2]
    assert engine.execute("1-2-3", LogicalForm(1, 1, (Condition(0, 0, "nowhere"),))) == [None]


def test_a_second_condition_on_a_column_overwrites_the_first_only_officially(engine: OfficialEngine) -> None:
    between = LogicalForm(0, 0, (Condition(1, 1, 1990), Condition(1, 2, 2000)))
    assert engine.execute("1-2-3", between) == []
    assert execute_repaired(engine, "1-2-3", between) == ["bergen"]


def test_an_aggregation_of_minus_one_is_avg_only_officially(engine: OfficialEngine) -> None:
    assert engine.execute("1-2-3", LogicalForm(1, -1)) == [1995.0]
    with pytest.raises(SQLError, match="aggregation -1 is out of range"):
        execute_repaired(engine, "1-2-3", LogicalForm(1, -1))


@pytest.mark.parametrize(
    ("value", "number"),
    [("1,200", 1200.0), ("1,20", 120.0), ("-5", -5.0), ("$3.2m", 3.2), ("1998-99", 1998.0), ("50%", 50.0), ("−5", 5.0)],
)
def test_numbers_in_strings_are_read_as_officially(value: str, number: float) -> None:
    assert cast_value(value, "real") == number
    assert cast_value(value, "text") == value


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sel": 3, "agg": 0, "conds": []},
        {"sel": 0, "agg": 6, "conds": []},
        {"sel": 0, "agg": None, "conds": []},
        {"sel": 0, "agg": 0, "conds": [[0, 3, "oslo"]]},
        {"sel": 0, "agg": 0, "conds": [[9, 0, "oslo"]]},
        {"sel": 0, "agg": 0, "conds": [[1, 0, "abc"]]},
        {"sel": 0, "agg": 0, "conds": [[1, 0, ""]]},
        {"sel": 0, "agg": 0, "conds": [[1, 0, None]]},
        {"sel": 0, "agg": 0, "conds": [[0, 0, ["oslo"]]]},
        {"sel": 0, "agg": 0, "conds": [[1, 0, 10**30]]},
        {"sel": 0, "agg": 0, "conds": [["x"]]},
        {"sel": "0, col1", "agg": 0, "conds": []},
        {"sel": "0 FROM sqlite_master --", "agg": 0, "conds": []},
    ],
)
def test_a_prediction_that_cannot_run_is_wrong(engine: OfficialEngine, query: dict[str, Any]) -> None:
    with pytest.raises(SQLError):
        engine.execute_raw("1-2-3", query)
    gold = {"sel": 0, "agg": 0, "conds": []}
    assert score_raw(engine, "1-2-3", gold, {"query": query}) == (False, False)


@pytest.mark.parametrize("prediction", [{}, {"error": "no"}, {"query": None}, {"query": "SELECT"}, {"query": [1]}])
def test_a_prediction_that_is_no_query_is_wrong(engine: OfficialEngine, prediction: dict[str, Any]) -> None:
    assert score_raw(engine, "1-2-3", {"sel": 0, "agg": 0, "conds": []}, prediction) == (False, False)


def test_a_gold_that_cannot_run_is_an_error(engine: OfficialEngine) -> None:
    gold = {"sel": 7, "agg": 0, "conds": []}
    with pytest.raises(SQLError, match="col7"):
        score_raw(engine, "1-2-3", gold, {"query": gold})


def test_the_repaired_engine_names_what_is_out_of_range(engine: OfficialEngine) -> None:
    for lf, name in (
        (LogicalForm(3, 0), "column 3"),
        (LogicalForm(0, 0, (Condition(-1, 0, "x"),)), "column -1"),
        (LogicalForm(0, 0, (Condition(0, -1, "x"),)), "operator -1"),
        (LogicalForm(0, 0, (Condition(1, 0, "abc"),)), "'abc' is no number"),
        (LogicalForm(0, 0, (Condition(1, 0, 10**30),)), "cannot run"),
    ):
        with pytest.raises(SQLError, match=name):
            execute_repaired(engine, "1-2-3", lf)


def test_logical_forms_match_as_sets_of_lower_cased_conditions() -> None:
    gold = LogicalForm(0, 1, (Condition(1, 0, "5"), Condition(2, 1, "Oslo")))
    swapped = LogicalForm(0, 1, (Condition(2, 1, "OSLO"), Condition(1, 0, 5), Condition(1, 0, 5)))
    assert official_lf_match(swapped, gold)
    assert not official_lf_match(swapped, gold, ordered=True)
    assert not official_lf_match(LogicalForm(0, 1, (Condition(1, 0, 5.0), Condition(2, 1, "oslo"))), gold)
    assert not official_lf_match(LogicalForm(0, 2, gold.conds), gold)
    assert not raw_lf_match(None, gold.to_dict())
    assert not raw_lf_match({"sel": 0, "agg": 1, "conds": 7}, gold.to_dict())


def test_a_missing_database_or_table_is_named(engine: OfficialEngine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such database file"):
        OfficialEngine(tmp_path / "none.db")
    with pytest.raises(SQLError, match="table_9_9"):
        engine.execute("9-9", LogicalForm(0, 0))
