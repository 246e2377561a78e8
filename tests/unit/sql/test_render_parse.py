"""Rendering and parsing of logical forms: inverse on everything that WikiSQL can say."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import SQLError
from t2s.sql.core import AGGREGATIONS, OPERATORS, Column, Condition, LogicalForm, Schema, Table
from t2s.sql.extract import extract_sql
from t2s.sql.parse import NotWikiSQLForm, ParseFailure, SyntaxFailure, UnknownColumn, parse
from t2s.sql.render import render
from t2s.sql.schema import parse_schema, render_schema

TABLE = Table(
    "table",
    (
        Column("Name"),
        Column("Home team"),
        Column("Salary", "real"),
        Column("order", "real"),
        Column("Left"),
        Column("name "),
    ),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.sampled_from(
    ["select", "From", "table", "a", "A", 'say "x"', "`b`", "[c]", "x;y", "--", "/*", "No.", "naïve 表", "", " "]
)
VALUES = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["O'Brien", "''", "Name", '"', "5", "-1", "a;b", "--", "\\", "\n", "NULL"])
)


@st.composite
def tables_and_forms(draw: st.DrawFn) -> tuple[Table, LogicalForm]:
    table = Table(draw(NAMES), tuple(map(Column, draw(st.lists(NAMES, min_size=1, max_size=6)))))
    column = st.integers(0, len(table.columns) - 1)
    condition = st.builds(Condition, column, st.integers(0, len(OPERATORS) - 1), VALUES)
    conds = tuple(draw(st.lists(condition, max_size=4)))
    return table, LogicalForm(draw(column), draw(st.integers(0, len(AGGREGATIONS) - 1)), conds)


def same(one: LogicalForm, other: LogicalForm) -> bool:
    """Equal with the same types of values, since 5 and 5.0 are different texts and the same number."""
    return one == other and [type(c.value) for c in one.conds] == [type(c.value) for c in other.conds]


@given(tables_and_forms())
def test_parsing_undoes_rendering_for_any_table(case: tuple[Table, LogicalForm]) -> None:
    table, lf = case
    assert same(parse(render(lf, table), table), lf)


@pytest.mark.parametrize("split", ["dev", "test", "train"])
def test_every_shared_gold_survives_rendering_extracting_and_parsing(
    wikisql_split: Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]], split: str
) -> None:
    lines = wikisql_split(split)
    for _, table, lf in lines[:: 1 + len(lines) // 2_500]:
        sql = render(lf, table)
        assert extract_sql(f" {sql}\nQUESTION: next") == sql
        assert same(parse(sql, table), lf)
        assert parse_schema(render_schema(Schema((table,)))).table == table


def test_the_spelling_is_the_documented_one() -> None:
    lf = LogicalForm(0, 3, (Condition(2, 1, 5), Condition(1, 0, "O'slo")))
    assert render(lf, TABLE) == """SELECT COUNT("Name") FROM "table" WHERE "Salary" > 5 AND "Home team" = 'O''slo'"""
    assert render(LogicalForm(2, 0), TABLE) == 'SELECT "Salary" FROM "table"'


@pytest.mark.parametrize(
    "lf",
    [
        LogicalForm(6, 0),
        LogicalForm(-1, 0),
        LogicalForm(0, 6),
        LogicalForm(0, 0, (Condition(0, 3, "x"),)),
        LogicalForm(0, 0, (Condition(9, 0, "x"),)),
        LogicalForm(0, 0, (Condition(0, 0, math.nan),)),
        LogicalForm(0, 0, (Condition(0, 0, True),)),
    ],
)
def test_what_sql_cannot_say_is_not_rendered(lf: LogicalForm) -> None:
    with pytest.raises(SQLError):
        render(lf, TABLE)


EXPECTED = LogicalForm(0, 3, (Condition(1, 0, "Oslo"), Condition(2, 1, -5)))


@pytest.mark.parametrize(
    "sql",
    [
        """SELECT COUNT("Name") FROM "table" WHERE "Home team" = 'Oslo' AND "Salary" > -5""",
        "select count(name) from table where [home team] = 'Oslo' and salary > -5;",
        "SELECT COUNT ( `Name` ) FROM `table` WHERE `Home team`='Oslo' AND `Salary`>-5 ; -- done",
        """SELECT COUNT(t."Name") AS n FROM "table" AS t WHERE (t."Home team" == "Oslo") AND (((t.salary > (-5))))""",
        """SELECT COUNT((name)) FROM Employees WHERE ("HOME TEAM" = 'Oslo' AND -5 < "salary")""",
        """SELECT\n  COUNT("Name")\nFROM main."table"\nWHERE "home  team" = 'Oslo'\n  AND "Salary" > -5""",
        "(SELECT COUNT(Name) FROM table WHERE `Home team` = 'Oslo' AND Salary > -5)",
        "/* why */ SELECT COUNT(Name) FROM table WHERE [Home team] = 'Oslo' AND Salary > - 5",
    ],
)
def test_every_spelling_gives_the_same_form(sql: str) -> None:
    assert same(parse(sql, TABLE), EXPECTED)


@pytest.mark.parametrize(
    ("sql", "column"), [("SELECT order FROM table", 3), ("SELECT MAX(Left) FROM table WHERE order = 1", 4)]
)
def test_a_column_named_by_a_keyword_needs_no_quotes(sql: str, column: int) -> None:
    assert parse(sql, TABLE).sel == column


def test_the_exact_name_wins_over_another_case() -> None:
    table = Table("t", (Column("ID"), Column("id"), Column("Id")))
    assert [parse(f'SELECT "{name}" FROM t', table).sel for name in ("ID", "id", "Id", "iD")] == [0, 1, 2, 0]


def test_repeated_names_are_told_apart_by_number() -> None:
    table = Table("t", (Column("a"), Column("a"), Column("a:1")))
    lf = LogicalForm(1, 0, (Condition(2, 0, "x"),))
    assert render(lf, table) == """SELECT "a:2" FROM "t" WHERE "a:1" = 'x'"""
    assert parse(render(lf, table), table) == lf


def test_values_keep_their_kind() -> None:
    sql = "SELECT Name FROM t WHERE Salary = '5' AND Salary = 5 AND Salary = 5.0 AND Salary = 1e3 AND Salary = .5"
    assert [repr(c.value) for c in parse(sql, TABLE).conds] == ["'5'", "5", "5.0", "1000.0", "0.5"]


@pytest.mark.parametrize(
    ("sql", "failure"),
    [
        ("", SyntaxFailure),
        ("I do not know", SyntaxFailure),
        ("SELECT Name FROM", SyntaxFailure),
        ("SELECT Name FROM table WHERE Name = 'x", SyntaxFailure),
        ("SELECT Name FROM table WHERE Name = 'O'Brien'", SyntaxFailure),
        ("SELECT " + "(" * 400 + "Name" + ")" * 400 + " FROM table", SyntaxFailure),
        ("SELECT " + "a." * 4000 + "a FROM table", SyntaxFailure),
        ("SELECT Name FROM table WHERE Name = '" + "x" * 20_000 + "'", SyntaxFailure),
        ('SELECT "Nope" FROM table', UnknownColumn),
        ("SELECT Name FROM table WHERE Nope = 1", UnknownColumn),
        ("SELECT Name FROM table WHERE \"Nope\" = 'x'", UnknownColumn),
        ("SELECT Name FROM table WHERE Name = Oslo", UnknownColumn),
        ("SELECT Name FROM table WHERE Name = `Oslo`", UnknownColumn),
        ("SELECT x.Name FROM table AS t", UnknownColumn),
        ("SELECT Name, Salary FROM table", NotWikiSQLForm),
        ("SELECT * FROM table", NotWikiSQLForm),
        ("SELECT COUNT(*) FROM table", NotWikiSQLForm),
        ("SELECT COUNT(DISTINCT Name) FROM table", NotWikiSQLForm),
        ("SELECT DISTINCT Name FROM table", NotWikiSQLForm),
        ("SELECT MAX(Salary, 3) FROM table", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Name = 'a' OR Name = 'b'", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE NOT Name = 'a'", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Name LIKE 'a'", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Salary >= 1", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Salary BETWEEN 1 AND 2", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Name IS NULL", NotWikiSQLForm),
        ('SELECT Name FROM table WHERE Name = "Home team"', NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Salary = 1 + 1", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Salary = 1e999", NotWikiSQLForm),
        ("SELECT Name FROM table WHERE Salary > (SELECT 1)", NotWikiSQLForm),
        ("SELECT Name FROM table GROUP BY Name", NotWikiSQLForm),
        ("SELECT Name FROM table ORDER BY Salary LIMIT 1", NotWikiSQLForm),
        ("SELECT Name FROM table JOIN other ON 1 = 1", NotWikiSQLForm),
        ("SELECT Name FROM a, b", NotWikiSQLForm),
        ("SELECT Name FROM (SELECT Name FROM table)", NotWikiSQLForm),
        ("SELECT 'Name' FROM table", NotWikiSQLForm),
        ("SELECT Name", NotWikiSQLForm),
        ("SELECT Name FROM table; SELECT Salary FROM table", NotWikiSQLForm),
        ("WITH t AS (SELECT 1) SELECT Name FROM t", NotWikiSQLForm),
        ("SELECT Name FROM table UNION SELECT Salary FROM table", NotWikiSQLForm),
        ("DROP TABLE table", NotWikiSQLForm),
        ("VALUES (1)", NotWikiSQLForm),
    ],
)
def test_what_is_no_logical_form_says_why(sql: str, failure: type[ParseFailure]) -> None:
    with pytest.raises(ParseFailure) as caught:
        parse(sql, TABLE)
    assert type(caught.value) is failure
    assert "\n" not in str(caught.value)
    assert "<class" not in str(caught.value)


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UnknownColumn, match=r"no column 'Salry' .did you mean 'Salary'"):
        parse("SELECT Salry FROM table", TABLE)


@given(st.text(max_size=60).map("SELECT ".__add__) | st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text, TABLE)
    except ParseFailure as error:
        assert error.reason in {"syntax", "unknown_column", "not_wikisql_form"}


@pytest.mark.parametrize("failure", [SyntaxFailure, UnknownColumn, NotWikiSQLForm])
def test_failures_survive_pickling(failure: type[ParseFailure]) -> None:
    copy = pickle.loads(pickle.dumps(failure("why")))
    assert (type(copy), str(copy), copy.reason) == (failure, "why", failure.reason)
