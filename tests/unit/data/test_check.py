"""The check finds what it promises to find, and finds nothing in good data."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from t2s.data.check import Lengths, check
from t2s.data.core import Example
from t2s.data.report import check_report_path, write_report
from t2s.data.synthetic import SyntheticPipeline
from t2s.errors import ConfigError
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.sql.sandbox import Limits

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


def test_an_endless_gold_is_ended(database: Path) -> None:
    endless = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r"
    report = check(([], [example("a", database, endless)], []), limits=Limits(timeout_s=0.3))
    assert "0.3 s" in report.splits["val"].failing[0]


def test_a_gold_that_the_sandbox_refuses_is_told_apart(database: Path) -> None:
    report = check(([], [], [example("a", database, "SELECT sqlite_version()")]))
    assert report.splits["test"].refused[0].startswith("a: ")
    assert report.splits["test"].failing == [] and report.errors == 1


def test_two_queries_for_one_question_are_a_contradiction(database: Path) -> None:
    first = example("a", database)
    report = check(([first, replace(first, id="b", sql='SELECT "x" FROM "t"')], [], []))
    assert report.splits["train"].contradictions[0].startswith("b: ")
    assert report.splits["train"].duplicates == [] and report.errors == 0


def test_conditions_in_another_order_are_a_duplicate() -> None:
    conds = (Condition(0, 0, "a"), Condition(1, 1, 2))
    first = replace(example("a", None), logical_form=LogicalForm(0, 0, conds), sql="one")
    report = check(([first, replace(first, id="b", logical_form=LogicalForm(0, 0, conds[::-1]), sql="two")], [], []))
    assert report.splits["train"].duplicates == ["b"] and report.splits["train"].contradictions == []


def test_what_is_longer_than_the_limit_is_named_with_its_length() -> None:
    lengths = Lengths(lambda examples: [len(e.question) for e in examples], 11, "characters")
    report = check(([example("a", None), example("long", None)], [], []), lengths=lengths)
    assert report.splits["train"].too_long == ["long: 14 characters"]
    assert "too long (over 11 characters): 1" in "\n".join(report.findings())


def test_a_report_is_written_as_json_or_markdown_and_as_nothing_else(tmp_path: Path, database: Path) -> None:
    report = check(([], [], [example("a|b", database, 'SELECT "n" FROM "gone"')]))
    write_report(report, tmp_path / "out" / "r.json", "title")
    assert json.loads((tmp_path / "out" / "r.json").read_text())["errors"] == 1
    write_report(report, tmp_path / "r.md", "title | x")
    page = (tmp_path / "r.md").read_text()
    assert "1 errors" in page and "title \\| x" in page and "a|b: " in page
    with pytest.raises(ConfigError, match=r"--report r\.txt: expected a name that ends in \.json or \.md"):
        check_report_path(Path("r.txt"))


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


def test_a_gold_that_the_grammar_cannot_write_is_named(database: Path) -> None:
    golds = ["SELECT n FROM t WHERE x > 0", "select n from t", "SELECT CASE WHEN n > 1 THEN 1 END FROM t"]
    own = [example(str(at), database, sql) for at, sql in enumerate(golds)]
    splits = ([], [], own)
    report = check(splits, grammar="select")
    assert [line.partition(":")[0] for line in report.splits["test"].unwritable] == ["1", "2"]
    assert "gold that inference.grammar cannot write (select; of at most 500 a split)" in [
        row[0] for row in report.rows()
    ]
    assert report.errors == 0, "another grammar is a cure"
    assert not any("grammar" in row[0] for row in check(splits).rows())
