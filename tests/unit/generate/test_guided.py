"""The vote over results: errors drop out, equal results count together, and without rows the likeliest text wins."""

from __future__ import annotations

import sqlite3
from math import log
from pathlib import Path

import pytest

from t2s.generate.core import Generation, Request
from t2s.generate.guided import Judge
from t2s.sql.core import Column, Schema, Table

SCHEMA = Schema((Table("t", (Column("a"), Column("b", "real"))),))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t (a TEXT, b REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [("x", 1), ("y", 2)])
    return tmp_path / "x.db"


def choose(source: Path | None, likely: dict[str, float], drop_empty: bool = False) -> str:
    candidates = [(Generation(sql, sql, 1, True), log(p)) for sql, p in likely.items()]
    return Judge(drop_empty).choose(Request("?", SCHEMA, source), candidates).sql


def test_what_fails_is_dropped(database: Path) -> None:
    likely = {"SELECT nope FROM t": 0.6, "DROP TABLE t": 0.2, "SELECT a FROM t": 0.1}
    assert choose(database, likely) == "SELECT a FROM t"


def test_the_result_that_most_agree_on_wins_in_any_order_and_number_form(database: Path) -> None:
    likely = {
        "SELECT a FROM t": 0.4,
        "SELECT b FROM t ORDER BY b": 0.3,
        "SELECT CAST(b AS INTEGER) FROM t ORDER BY b DESC": 0.2,
    }
    assert choose(database, likely) == "SELECT b FROM t ORDER BY b"


def test_empty_results_are_dropped_only_if_asked(database: Path) -> None:
    likely = {"SELECT a FROM t WHERE b = 9": 0.6, "SELECT MAX(a) FROM t WHERE b = 9": 0.2, "SELECT a FROM t": 0.1}
    assert choose(database, likely) == "SELECT a FROM t WHERE b = 9"
    assert choose(database, likely, drop_empty=True) == "SELECT a FROM t"


def test_a_candidate_over_a_table_that_the_question_is_not_about_is_dropped(database: Path) -> None:
    """It would be refused when it is run for the answer, or learn what was not given."""
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE secrets AS SELECT 'swordfish' AS word")
    assert choose(database, {"SELECT word FROM secrets": 0.6, "SELECT a FROM t": 0.1}) == "SELECT a FROM t"


def test_without_rows_or_if_all_fail_the_likeliest_is_the_answer(database: Path) -> None:
    assert choose(None, {"SELECT nope FROM t": 0.6, "SELECT a FROM t": 0.1}) == "SELECT nope FROM t"
    assert choose(database, {"SELECT nope FROM t": 0.6, "SELECT no FROM t": 0.1}) == "SELECT nope FROM t"
