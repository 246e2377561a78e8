"""The shape that is recognised without the parser: the parser must agree with every text that it lets through."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_rig import ENGINES, read_corpus

from t2s.sql.sandbox.plain import harden_plain, is_plain
from t2s.sql.sandbox.quotes import harden_quotes
from t2s.sql.syntax import Dialect, read_query

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
PIECES = [
    '"',
    "'",
    "`",
    ";",
    "--",
    "/*",
    " ",
    "\n",
    "a",
    "t",
    "=",
    "<",
    ">",
    "(",
    ")",
    "1",
    "-",
    ".",
    "e5",
    ",",
    '""',
    "''",
]
WORDS = [
    "SELECT ",
    " FROM ",
    " WHERE ",
    " AND ",
    "MAX(",
    "COUNT(",
    '"a"',
    '"t"',
    "'x'",
    " = ",
    "DELETE ",
    "UNION ",
    "OR ",
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@given(NAMES, NAMES, NAMES, NAMES, st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_names_and_values_are_plain_and_hardened_as_the_parser_would(
    column: str, table: str, other: str, value: str, number: float
) -> None:
    text = "'" + value.replace("'", "''") + "'"
    where = f"{quoted(other)} = {text} AND {quoted(column)} > {number!r}"
    sql = f"SELECT MAX({quoted(column)}) FROM {quoted(table)} WHERE {where}"
    assert is_plain(sql)
    assert harden_plain(sql) == harden_quotes(sql)
    assert read_query(sql).key == "select"


@given(st.lists(st.sampled_from(PIECES + WORDS * 3), max_size=14).map("".join))
def test_what_is_plain_is_one_query_to_the_parser(noise: str) -> None:
    base = 'SELECT "a" FROM "t" WHERE "a" = \'x\''
    for sql in (
        noise,
        f"SELECT {noise}",
        base + noise,
        base.replace("x", noise),
        base.replace('"t"', noise),
        noise + base,
    ):
        if is_plain(sql):
            for dialect in get_args(Dialect):
                assert read_query(sql, dialect=dialect).key == "select"
            assert re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "", sql).count(";") <= 1


@pytest.mark.parametrize("dialect", ENGINES)
def test_nothing_of_the_corpus_that_the_parser_refuses_is_plain(dialect: Dialect) -> None:
    plain = [statement.sql for statement in read_corpus(f"hostile_{dialect}.txt") if is_plain(statement.sql)]
    assert all(read_query(sql, dialect=dialect).key == "select" for sql in plain)


def test_a_long_text_is_judged_at_once() -> None:
    start = 'SELECT "a" FROM "t" WHERE "a" = '
    for tail in ("'" + "''" * 4000, "'x' AND \"a\" = " * 500, "1" * 9000 + "x", '"' + '""' * 4000):
        assert not is_plain(start + tail)
