"""The check finds what it promises to find, and finds nothing in good data."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from t2s.data.check import check
from t2s.data.core import Example
from t2s.data.synthetic import SyntheticPipeline
from t2s.sql.core import Column, LogicalForm, Schema, Table

SCHEMA = Schema((Table("t", (Column("n", "text"), Column("x", "real"))),))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "own.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (n TEXT, x REAL)")
        connection.execute("INSERT INTO t VALUES ('a', 1)")
        connection.commit()
    return path


def example(name: str, database: Path | None, sql: str = 'SELECT "n" FROM "t"') -> Example:
    return Example(name, f"Question {name}?", SCHEMA, sql, None, database)


def test_generated_data_has_no_findings(tmp_path: Path) -> None:
    splits = SyntheticPipeline(num_train=60, num_val=12, num_test=12, cache_dir=tmp_path).prepare()
    seen: list[tuple[int, int]] = []
    report = check(splits, lambda done, total: seen.append((done, total)))
    assert report.findings() == []
    assert report.errors == 0
    assert report.splits["train"].examples == 60 and report.splits["train"].tables == 10
    assert seen[-1] == (84, 84)


def test_golds_that_fail_or_find_nothing_are_named(database: Path) -> None:
    test = [
        example("a", database, 'SELECT "n" FROM "gone"'),
        example("b", database, 'SELECT "n" FROM "t" WHERE "x" > 5'),
        example("c", database, 'SELECT MAX("x") FROM "t" WHERE "x" > 5'),
        example("d", database),
        example("e", None),
    ]
    report = check(([], [], test))
    assert [line.split(":")[0] for line in report.splits["test"].failing] == ["a"]
    assert report.splits["test"].empty == ["b", "c"]
    assert report.splits["test"].without_rows == 1
    assert report.errors == 1


def test_an_endless_gold_is_ended(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t2s.data.check.GOLD_TIMEOUT_S", 0.2)
    endless = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r"
    assert "interrupted" in check(([], [example("a", database, endless)], [])).splits["val"].failing[0]


def test_duplicates_and_leaks_are_told_apart(database: Path) -> None:
    first = example("a", database)
    report = check(([first, replace(first, id="b")], [], [replace(first, id="c", question="question A?")]))
    assert report.splits["train"].duplicates == ["b"]
    assert report.leaks == ["c and a"]
    assert len(report.shared_tables) == 1
    assert report.errors == 1


def test_sql_that_is_not_its_logical_form_is_found() -> None:
    wrong = replace(example("a", None), logical_form=LogicalForm(1, 0))
    assert check(([wrong], [], [])).splits["train"].not_read_back[0].startswith("a: ")
