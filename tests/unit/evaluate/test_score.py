"""The scorer on a WikiSQL-shaped table, on a user's database, and without rows."""

from __future__ import annotations

import bz2
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from t2s.data.core import Example, TableRef
from t2s.errors import DataError, SQLError
from t2s.evaluate.categories import category
from t2s.evaluate.score import Outcome, Scorer, Verdict
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.sql.render import render
from t2s.sql.sandbox import Limits

CITIES = Table("table", (Column("City"), Column("Year", "real"), Column("Note")))
OSLO = LogicalForm(1, 0, (Condition(0, 0, "Oslo"),))


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer(Limits(timeout_s=1.0)) as opened:
        yield opened


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> TableRef:
    path = tmp_path_factory.mktemp("score") / "dev.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE table_1_2 (col0 text, col1 real, col2 text)")
        rows = [("oslo", 1990, None), ("bergen", 1995, "x"), ("oslo", 2000, "y")]
        connection.executemany("INSERT INTO table_1_2 VALUES (?, ?, ?)", rows)
        connection.commit()
    return TableRef(path, "1-2")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE items (id INTEGER, name TEXT, price REAL);"
            "CREATE TABLE sales (item INTEGER, day TEXT);"
            "INSERT INTO items VALUES (1, 'Tea', 3.5), (2, 'Rice', 2), (3, 'Tea', 4);"
            "INSERT INTO sales VALUES (1, 'mon'), (1, 'tue'), (2, 'mon');"
        )
    return path


def wikisql(source: TableRef | None, lf: LogicalForm = OSLO) -> Example:
    return Example("1", "When?", Schema((CITIES,)), render(lf, CITIES), lf, source)


@pytest.mark.parametrize(
    ("prediction", "lf", "ex", "outcome"),
    [
        ("""SELECT "Year" FROM "table" WHERE "City" = 'Oslo'""", True, True, "correct"),
        ('select year from table where city = "OSLO";\n\nQUESTION: more?', True, True, "correct"),
        ("SELECT Year FROM table WHERE City = 'Oslo' AND Year > 5", False, True, "correct"),
        ("SELECT Year FROM table WHERE City = 'Bergen'", False, False, "wrong"),
        ("SELECT Note FROM table WHERE City = 'Oslo'", False, False, "wrong"),
        ("SELECT Year FROM table WHERE City = 'Oslo' ORDER BY Year", False, True, "correct"),
        ("SELECT Year FROM table WHERE City = 'Oslo' ORDER BY Year DESC", False, False, "wrong"),
        ("SELECT Year, City FROM table WHERE City = 'Oslo'", False, False, "wrong"),
        ("SELECT Year FROM table WHERE City LIKE 'osl%' OR 1 = 2", False, True, "correct"),
        ("SELECT Yeer FROM table", False, False, "unknown_column"),
        ('SELECT "Yeer" FROM table ORDER BY 1', False, False, "unknown_column"),
        ("SELECT Year FROM table WHERE", False, False, "parse_error"),
        ("the year was 1990", False, False, "parse_error"),
        ("SELECT Year FROM table WHERE Note = '\ud800'", False, False, "execution_error"),
        ("SELECT Year FROM table WHERE Year = 'late'", False, False, "execution_error"),
        ("SELECT Year FROM table WHERE Note = nofunction(1)", False, False, "execution_error"),
        ("DROP TABLE table", False, False, "refused"),
        ("SELECT printf('%d', Year) FROM table", False, False, "refused"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT MAX(n) FROM r",
            False,
            False,
            "timeout",
        ),
        ("", False, False, "missing"),
        (" \n", False, False, "missing"),
        (None, False, False, "missing"),
    ],
)
def test_a_wikisql_prediction_gets_its_verdict(
    scorer: Scorer, official: TableRef, prediction: str | None, lf: bool, ex: bool, outcome: str
) -> None:
    verdict = scorer.score(wikisql(official), prediction)
    assert (verdict.lf, verdict.ex, verdict.repaired_ex, str(verdict.outcome)) == (lf, ex, ex, outcome)


def test_the_repaired_verdict_differs_where_the_official_engine_loses_a_condition(
    scorer: Scorer, official: TableRef
) -> None:
    between = LogicalForm(0, 0, (Condition(1, 1, 1990), Condition(1, 2, 2000)))
    nothing = "SELECT City FROM table WHERE City = 'nowhere'"
    verdict = scorer.score(wikisql(official, between), nothing)
    assert (verdict.ex, verdict.repaired_ex, verdict.outcome) == (True, False, Outcome.correct)
    assert scorer.score(wikisql(official, between), render(between, CITIES)).repaired_ex is True


def test_without_rows_only_lf_is_known(scorer: Scorer) -> None:
    right = scorer.score(wikisql(None), "SELECT Year FROM table WHERE City = 'oslo'")
    assert (right.lf, right.ex, right.repaired_ex, right.outcome) == (True, None, None, Outcome.correct)
    other = scorer.score(wikisql(None), "SELECT City FROM table")
    assert (other.lf, other.ex, other.outcome) == (False, None, Outcome.not_measurable)
    outside = scorer.score(wikisql(None), "SELECT COUNT(*) FROM table")
    assert outside.outcome is Outcome.not_measurable
    assert "outside WikiSQL's form" in outside.detail
    assert scorer.score(wikisql(None), "SELECT Yer FROM table").outcome is Outcome.unknown_column
    assert scorer.score(wikisql(None), None) == Verdict(
        False, None, None, Outcome.missing, "there is no SQL in the prediction"
    )


def test_a_gold_that_cannot_run_is_not_measurable(scorer: Scorer, official: TableRef) -> None:
    gold = LogicalForm(0, 0, (Condition(1, 0, "late"),))
    verdict = scorer.score(wikisql(official, gold), "SELECT City FROM table")
    assert (verdict.ex, verdict.outcome) == (None, Outcome.not_measurable)
    assert "the gold query cannot run" in verdict.detail


def database_example(shop: Path, sql: str, tables: int = 2) -> Example:
    items = Table("items", (Column("id", "real"), Column("name"), Column("price", "real")))
    sales = Table("sales", (Column("item", "real"), Column("day")))
    return Example("1", "?", Schema((items, sales)[:tables]), sql, None, shop)


JOIN = "SELECT name, COUNT(*) FROM items JOIN sales ON id = item GROUP BY id"


@pytest.mark.parametrize(
    ("gold", "prediction", "ex", "outcome"),
    [
        (JOIN, JOIN + " ORDER BY 2", True, "correct"),
        (JOIN + " ORDER BY 2 DESC", JOIN + " ORDER BY 2", False, "wrong"),
        (JOIN, "SELECT COUNT(*), name FROM items JOIN sales ON id = item GROUP BY id", False, "wrong"),
        ("SELECT name FROM items", "SELECT DISTINCT name FROM items", False, "wrong"),
        ('SELECT price FROM items WHERE name = "Rice"', "SELECT 2", True, "correct"),
        ("SELECT name FROM items", "SELECT nam FROM items", False, "unknown_column"),
        ("SELECT name FROM items", 'SELECT "nam" FROM items', False, "unknown_column"),
        ("SELECT name FROM items", "SELECT name FROM item", False, "execution_error"),
        ("SELECT name FROM items", "SELECT name FROM items; DROP TABLE items", True, "correct"),
        ("SELECT name FROM items", "DELETE FROM items", False, "refused"),
        ("SELECT name FROM items", "SELEC name", False, "parse_error"),
        ("SELECT name FROM items", None, False, "missing"),
        ("SELECT nam FROM items", "SELECT name FROM items", None, "not_measurable"),
    ],
)
def test_a_prediction_on_a_users_database_gets_its_verdict(
    scorer: Scorer, shop: Path, gold: str, prediction: str | None, ex: bool | None, outcome: str
) -> None:
    verdict = scorer.score(database_example(shop, gold), prediction)
    assert (verdict.lf, verdict.ex, verdict.repaired_ex, str(verdict.outcome)) == (False, ex, ex, outcome)


def test_lf_on_a_users_single_table_compares_the_parsed_forms(scorer: Scorer, shop: Path) -> None:
    example = database_example(shop, "SELECT name FROM items WHERE price > 3", tables=1)
    verdict = scorer.score(example, 'SELECT "name" FROM "items" WHERE ("price" > 3)')
    assert (verdict.lf, verdict.ex) == (True, True)


def test_several_tables_without_rows_are_not_measurable(scorer: Scorer) -> None:
    example = Example("1", "?", database_example(Path(), "").schema, JOIN)
    assert scorer.score(example, JOIN).outcome is Outcome.not_measurable
    assert scorer.score(example, "SELEC").outcome is Outcome.parse_error
    assert scorer.score(example, "DROP TABLE items").outcome is Outcome.refused


def test_a_missing_database_is_an_error_and_not_a_verdict(scorer: Scorer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.db"):
        scorer.score(database_example(tmp_path / "none.db", "SELECT 1"), "SELECT 1")
    with pytest.raises(DataError, match=r"none\.db"):
        scorer.score(wikisql(TableRef(tmp_path / "none.db", "1-2")), "SELECT Year FROM table")


def test_predictions_as_text_get_the_official_verdicts_of_the_parity_file(
    scorer: Scorer,
    shared_wikisql: Path,
    wikisql_files: Path,
    wikisql_split: Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]],
) -> None:
    tables = {line["table_id"]: table for line, table, _ in wikisql_split("dev")}
    compared = 0
    for raw in bz2.decompress((shared_wikisql / "parity.jsonl.bz2").read_bytes()).splitlines():
        line = json.loads(raw)
        table = tables[line["table_id"]]
        try:
            text = render(LogicalForm.from_dict(line["prediction"].get("query")), table)
        except SQLError:
            continue
        gold = LogicalForm.from_dict(line["sql"])
        source = TableRef(wikisql_files / "dev.db", line["table_id"])
        example = Example("x", line["question"], Schema((table,)), render(gold, table), gold, source)
        verdict = scorer.score(example, " " + text)
        assert (verdict.ex, verdict.lf) == (line["ex"], line["lf"]), line
        compared += 1
    assert compared > 700


def test_categories_are_exclusive() -> None:
    assert category(LogicalForm(0, 3, OSLO.conds)) == "aggregation"
    assert category(OSLO) == "where_filters"
    assert category(LogicalForm(0, 0)) == "simple_select"
    assert category(None) == "other"


def test_another_table_is_right_officially_and_wrong_where_the_text_must_run(
    scorer: Scorer, official: TableRef
) -> None:
    verdict = scorer.score(wikisql(official), 'SELECT "Year" FROM "towns" WHERE "City" = \'Oslo\'')
    assert (verdict.lf, verdict.ex, verdict.repaired_ex) == (True, True, False)
    assert "'towns'" in verdict.detail
    assert scorer.score(wikisql(official), 'SELECT Year FROM TABLE WHERE City = "Oslo"').repaired_ex is True
