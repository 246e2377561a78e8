"""What made other projects' scores wrong, one test each; ``docs/evaluation.md`` names them in this order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from t2s.data.core import Example, TableRef
from t2s.evaluate.faults import EMPTY
from t2s.evaluate.score import Scorer
from t2s.evaluate.table import summarize, without_empty
from t2s.evaluate.verdict import Ran
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.sql.render import render

CITIES = Table("table", (Column("City"), Column("Year", "real"), Column("Note")))
ITEMS = Table("items", (Column("id", "real"), Column("name"), Column("price", "real"), Column("code")))


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traps")
    with closing(sqlite3.connect(path / "dev.db")) as connection:
        connection.executescript(
            "CREATE TABLE table_1_2 (col0 text, col1 real, col2 text);"
            "INSERT INTO table_1_2 VALUES ('oslo', 1990, NULL), ('bergen', 1995, 'x'), ('oslo', 2000, 'y');"
        )
    with closing(sqlite3.connect(path / "shop.db")) as connection:
        connection.executescript(
            "CREATE TABLE items (id INTEGER, name TEXT, price REAL, code TEXT);"
            "INSERT INTO items VALUES (1, 'Tea', 3.5, '1'), (2, 'Rice', 2, '2'), (3, 'Tea', 4, '3'),"
            "(4, 'tea', 2, '4');"
        )
    return path


def official(folder: Path, lf: LogicalForm) -> Example:
    return Example("1", "?", Schema((CITIES,)), render(lf, CITIES), lf, TableRef(folder / "dev.db", "1-2"))


def own(folder: Path, sql: str) -> Example:
    return Example("1", "?", Schema((ITEMS,)), sql, None, folder / "shop.db")


OSLO = LogicalForm(1, 0, (Condition(0, 0, "Oslo"),))


@pytest.mark.parametrize("where", ["", ' ORDER BY "Year"', " LIMIT 5"])
def test_a_made_up_column_is_caught_by_name_though_sqlite_would_read_it_as_a_string(
    scorer: Scorer, folder: Path, where: str
) -> None:
    with closing(sqlite3.connect(folder / "dev.db")) as connection:
        assert connection.execute('SELECT "Nope" FROM table_1_2').fetchall()[0] == ("Nope",)
    for sql in (f'SELECT "Nope" FROM "table"{where}', f"SELECT Year FROM table WHERE \"Nope\" = 'x'{where}"):
        verdict = scorer.score(official(folder, OSLO), sql)
        assert (verdict.outcome, verdict.ex) == ("unknown_column", False)
        assert "'Nope'" in verdict.detail
    verdict = scorer.score(
        own(folder, "SELECT name FROM items"), f'SELECT "Nope" FROM items{where}'.replace("Year", "id")
    )
    assert verdict.outcome == "unknown_column" and "Nope" in verdict.detail


@pytest.mark.parametrize("where", ["", " ORDER BY 1", " LIMIT 5"])
def test_a_value_in_double_quotes_is_a_value(scorer: Scorer, folder: Path, where: str) -> None:
    verdict = scorer.score(official(folder, OSLO), f'SELECT Year FROM table WHERE City = "Oslo"{where}')
    assert (verdict.lf, verdict.ex) == (not where, True)
    on_own = own(folder, "SELECT id FROM items WHERE name = 'Rice'")
    assert scorer.score(on_own, f'SELECT id FROM items WHERE name = "Rice"{where}').ex is True


def test_the_case_of_a_value_is_ignored_on_the_lower_cased_official_database_alone(
    scorer: Scorer, folder: Path
) -> None:
    for value in ("OSLO", "oslo", "Oslo"):
        assert scorer.score(official(folder, OSLO), f"SELECT Year FROM table WHERE City = '{value}'").ex is True
    gold = own(folder, "SELECT id FROM items WHERE name = 'Tea'")
    verdict = scorer.score(gold, "SELECT id FROM items WHERE name = 'tea'")
    assert verdict.ex is False, "a user's own rows keep their case, and SQLite compares it"
    upper = scorer.score(
        own(folder, "SELECT name FROM items WHERE id = 1"), "SELECT UPPER(name) FROM items WHERE id = 1"
    )
    assert (upper.ex, upper.detail) == (False, "the same values up to case and type (text or number)")


@pytest.mark.parametrize(
    ("gold", "fault", "wrong"),
    [
        (LogicalForm(1, 0, (Condition(0, 0, "nowhere"),)), "empty", "SELECT Note FROM table WHERE City = 'elsewhere'"),
        (LogicalForm(1, 1, (Condition(0, 0, "nowhere"),)), "null", "SELECT MIN(Note) FROM table WHERE City = 'x'"),
        (LogicalForm(1, 3, (Condition(0, 0, "nowhere"),)), "zero", "SELECT COUNT(Note) FROM table WHERE Note = 'q'"),
    ],
)
def test_an_empty_gold_is_matched_by_any_empty_answer_and_reported(
    scorer: Scorer, folder: Path, gold: LogicalForm, fault: str, wrong: str
) -> None:
    example = official(folder, gold)
    assert scorer.score(example, wrong).ex is True
    assert fault in scorer.gold(example).faults


def test_the_score_without_empty_golds_leaves_them_out() -> None:
    def line(ex: bool, faults: list[str]) -> dict[str, object]:
        return {"category": "other", "gold_faults": faults, "base": {"ex": ex, "lf": ex, "repaired_ex": ex}}

    lines = [line(True, [fault]) for fault in sorted(EMPTY)] + [line(False, []), line(True, ["zero"])]
    assert summarize(lines, ["base"])[-1]["ex"]["base"]["accuracy"] == 0.75
    assert without_empty(lines, ["base"])["ex"]["base"]["accuracy"] == 0.5


@pytest.mark.parametrize("name", ['"table"', "`TABLE`", "[table]", "table", "main.table", "table AS t"])
def test_the_name_of_the_table_may_be_written_in_any_style(scorer: Scorer, folder: Path, name: str) -> None:
    verdict = scorer.score(official(folder, OSLO), f"select Year\nfrom\n{name}\nwhere City='oslo'")
    assert (verdict.lf, verdict.ex, verdict.repaired_ex) == (True, True, True)


@pytest.mark.parametrize("end", ["", " ORDER BY name"])
def test_duplicates_count(scorer: Scorer, folder: Path, end: str) -> None:
    gold = own(folder, f"SELECT name FROM items WHERE price > 3{end}")
    verdict = scorer.score(gold, f"SELECT DISTINCT name FROM items WHERE price > 3{end}")
    assert (verdict.ex, verdict.detail.startswith("the same rows, but not as often")) == (False, True)
    both = LogicalForm(0, 0, (Condition(0, 0, "oslo"),))
    assert scorer.score(official(folder, both), "SELECT DISTINCT City FROM table WHERE City = 'oslo'").ex is False


def test_only_the_first_of_several_candidates_counts(scorer: Scorer, folder: Path) -> None:
    right, wrong = "SELECT Year FROM table WHERE City = 'Oslo'", "SELECT Note FROM table"
    for text in (f"{wrong};\n{right};", f"```sql\n{wrong}\n```\n```sql\n{right}\n```", f"1. {wrong}\n2. {right}"):
        assert scorer.score(official(folder, OSLO), text).ex is False
    assert scorer.score(official(folder, OSLO), f"{right}; {wrong}").ex is True


def test_a_wrong_database_is_no_wrong_answer(scorer: Scorer, folder: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "dev.db")) as connection:
        connection.executescript(
            "CREATE TABLE table_1_2 (col0 text, col1 real); INSERT INTO table_1_2 VALUES ('oslo', 1);"
        )
    example = Example("1", "?", Schema((CITIES,)), render(OSLO, CITIES), OSLO, TableRef(tmp_path / "dev.db", "1-2"))
    verdict = scorer.score(example, render(OSLO, CITIES))
    assert (verdict.ex, verdict.repaired_ex) == (None, None) and "wrong database" in verdict.detail
    other = Example("1", "?", Schema((ITEMS,)), "SELECT name FROM items", None, folder / "dev.db")
    verdict = scorer.score(other, "SELECT name FROM items")
    assert verdict.ex is None or verdict.outcome == "execution_error"
    assert "cannot_run" in scorer.gold(other).faults


@pytest.mark.parametrize(
    ("gold", "prediction", "ex"),
    [
        ("SELECT 2", "SELECT 2.0", True),
        ("SELECT 2", "SELECT '2'", False),
        ("SELECT 0.1 + 0.2", "SELECT 0.3", True),
        ("SELECT 0.3001", "SELECT 0.3", False),
        ("SELECT NULL", "SELECT ''", False),
        ("SELECT NULL", "SELECT 0", False),
        ("SELECT id, name FROM items", "SELECT name, id FROM items", False),
        ("SELECT id FROM items", "SELECT id, name FROM items", False),
        # Two items cost 2: their order is free, that of the others is not.
        ("SELECT name FROM items ORDER BY price", "SELECT name FROM items ORDER BY price, id DESC", True),
        ("SELECT name, price AS p FROM items ORDER BY p", "SELECT name, price FROM items ORDER BY 2, id DESC", True),
        ("SELECT id FROM items ORDER BY price DESC", "SELECT id FROM items ORDER BY price", False),
        ("SELECT DISTINCT price FROM items ORDER BY 1", "SELECT DISTINCT price FROM items ORDER BY 1 DESC", False),
        ("SELECT * FROM items ORDER BY price", "SELECT * FROM items ORDER BY price, id DESC", True),
        ("SELECT id FROM items", "SELECT id FROM items ORDER BY price", True),
    ],
)
def test_values_columns_and_order_on_a_users_database(
    scorer: Scorer, folder: Path, gold: str, prediction: str, ex: bool
) -> None:
    verdict = scorer.score(own(folder, gold), prediction)
    assert verdict.ex is ex
    assert ex or verdict.detail


def test_a_limit_without_an_order_is_reported(scorer: Scorer, folder: Path) -> None:
    assert scorer.gold(own(folder, "SELECT id FROM items LIMIT 2")).faults == ("arbitrary_rows",)
    assert scorer.gold(own(folder, "SELECT id FROM items ORDER BY id LIMIT 2")).faults == ()


def test_sql_outside_the_form_is_scored_by_execution_and_said_to_be(scorer: Scorer, folder: Path) -> None:
    for sql in (
        "SELECT Year FROM table WHERE City LIKE 'OSLO'",
        "SELECT Year FROM table WHERE City = 'Oslo' OR City = 'x'",
        "SELECT a.Year FROM table a JOIN table b ON a.Year = b.Year WHERE a.City = 'Oslo'",
        "SELECT Year FROM table WHERE City = 'Oslo' GROUP BY Year",
    ):
        verdict = scorer.score(official(folder, OSLO), sql)
        assert (verdict.lf, verdict.ex, verdict.ran) == (False, True, Ran.sandbox), sql
        assert verdict.detail.startswith("outside WikiSQL's form: ") and verdict.form is None
    assert scorer.score(official(folder, OSLO), render(OSLO, CITIES)).ran is Ran.form


def test_the_gold_is_run_once_for_several_sides(scorer: Scorer, folder: Path) -> None:
    example = official(folder, OSLO)
    assert scorer.gold(example) is scorer.gold(example)
    other = official(folder, LogicalForm(0, 0))
    assert scorer.gold(other).rows != scorer.gold(example).rows
