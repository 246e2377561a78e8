"""The fast reader beside the parser: the same form or nothing, on everything that ``render`` can write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.canonical import read_canonical
from t2s.sql.core import AGGREGATIONS, OPERATORS, Column, Condition, LogicalForm, Table
from t2s.sql.parse import Names, ParseFailure, parse_any
from t2s.sql.render import render
from t2s.sql.syntax import MAX_SQL_CHARS

ANY = st.characters(exclude_categories=["Cs"])
NAMES = st.text(ANY, max_size=8) | st.sampled_from(
    ["select", "a", "A", 'say "x"', '"', "'", "--", "/*", " FROM ", "表"]
)
VALUES = (
    st.text(ANY, max_size=12)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["''", "' AND \"a\" = '", "5", "-1", "\n", "\\", "\0"])
)


@st.composite
def tables_and_forms(draw: st.DrawFn) -> tuple[Table, LogicalForm]:
    table = Table(draw(NAMES), tuple(map(Column, draw(st.lists(NAMES, min_size=1, max_size=5)))))
    column = st.integers(0, len(table.columns) - 1)
    condition = st.builds(Condition, column, st.integers(0, len(OPERATORS) - 1), VALUES)
    conds = tuple(draw(st.lists(condition, max_size=3)))
    return table, LogicalForm(draw(column), draw(st.integers(0, len(AGGREGATIONS) - 1)), conds)


def fast(sql: str, names: Names) -> tuple[LogicalForm, str] | None:
    return read_canonical(sql, names.names, names.exact)


def typed(found: tuple[LogicalForm, str]) -> tuple[LogicalForm, str, list[str]]:
    return *found, [repr(condition.value) for condition in found[0].conds]


@given(tables_and_forms())
def test_it_reads_what_render_writes_as_the_parser_does(case: tuple[Table, LogicalForm]) -> None:
    table, lf = case
    names, sql = Names(table), render(lf, table)
    found = fast(sql, names)
    assert found is not None
    assert typed(found) == typed(parse_any(sql, names)) == typed((lf, table.name))


@given(tables_and_forms(), st.data())
def test_a_damaged_text_is_read_as_the_parser_reads_it_or_not_at_all(
    case: tuple[Table, LogicalForm], data: st.DataObject
) -> None:
    table, lf = case
    names, sql = Names(table), render(lf, table)
    at = data.draw(st.integers(0, len(sql)))
    damaged = sql[:at] + data.draw(st.sampled_from(["", " ", '"', "'", "0", "-", ")", "("])) + sql[at + 1 :]
    found = fast(damaged, names)
    if found is not None:
        assert typed(found) == typed(parse_any(damaged, names))


@pytest.mark.parametrize(
    "sql",
    [
        'select "a" FROM "t"',
        'SELECT "a"  FROM "t"',
        'SELECT "A" FROM "t"',
        "SELECT `a` FROM `t`",
        'SELECT MAX("a" FROM "t"',
        'SELECT "a") FROM "t"',
        'SELECT LOWER("a") FROM "t"',
        'SELECT "a" FROM "t" AND "a" = 1',
        'SELECT "a" FROM "t" WHERE "a" = 1 WHERE "a" = 2',
        'SELECT "a" FROM "t" WHERE "a" = 01',
        'SELECT "a" FROM "t" WHERE "a" = 1.50',
        'SELECT "a" FROM "t" WHERE "a" = 1e999',
        'SELECT "a" FROM "t" WHERE "a" = 1 ',
        'SELECT "a" FROM "t" LIMIT 1',
        "",
    ],
)
def test_any_other_spelling_is_left_to_the_parser(sql: str) -> None:
    assert fast(sql, Names(Table("t", (Column("a"),)))) is None


def test_what_the_parser_refuses_for_its_length_is_not_read_either() -> None:
    table = Table("t", (Column("a"),))
    sql = render(LogicalForm(0, 0, (Condition(0, 0, "x" * MAX_SQL_CHARS),)), table)
    assert fast(sql, Names(table)) is None
    with pytest.raises(ParseFailure, match="at most"):
        parse_any(sql, Names(table))


def test_a_fast_reading_of_the_shared_golds_is_the_parsers(
    wikisql_split: Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]],
) -> None:
    for _, table, lf in wikisql_split("dev")[::2]:
        names, sql = Names(table), render(lf, table)
        found = fast(sql, names)
        assert found is not None
        assert typed(found) == typed(parse_any(sql, names))
