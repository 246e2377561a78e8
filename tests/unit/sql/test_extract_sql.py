"""The first statement in what a model wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.extract import extract_sql

SQL = """SELECT "a;b" FROM "table" WHERE "c" = 'x;''y'"""


@pytest.mark.parametrize(
    "text",
    [
        SQL,
        f" {SQL}",
        f"{SQL};",
        f"{SQL}; SELECT 2",
        f"{SQL}\n\nThis query counts.",
        f"{SQL}\r\n \r\nThis",
        f"{SQL}\nQUESTION: how many?\nSQL: SELECT 1",
        f"{SQL}\nTABLE: t ( a )",
        f"{SQL}\nSQL: SELECT 1",
        f"SQL: {SQL}",
        f"sql:\n{SQL}",
        f"```sql\n{SQL}\n```",
        f"```\n{SQL};\n```\nExplanation",
        f"SQL:\n```sql\n{SQL}\n```",
        f"{SQL}```",
        f"Here is the query:\n\n```sql\n{SQL};\n```\nIt selects.",
        f"Sure, this does it:\n{SQL}\n\nDone.",
    ],
)
def test_the_statement_is_found_alone(text: str) -> None:
    assert extract_sql(text) == SQL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("```", ""),
        ("SQL:", ""),
        ("SELECT a\nFROM t\nWHERE b = 'x'", "SELECT a\nFROM t\nWHERE b = 'x'"),
        ("WHERE b = 'O'Brien'\n\nQUESTION: what's that?", "WHERE b = 'O'Brien'"),
        ("SELECT a FROM t WHERE b = 'open; SELECT", "SELECT a FROM t WHERE b = 'open"),
        ("SELECT a FROM [x;y]; z", "SELECT a FROM [x;y]"),
        ("SELECT a FROM `t````", "SELECT a FROM `t`"),
        ("SELECT a FROM t``````", "SELECT a FROM t"),
        ("I cannot say.\nQUESTION: next?\nSQL: SELECT 1", "I cannot say."),
    ],
)
def test_odd_texts_give_what_stands_first(text: str, expected: str) -> None:
    assert extract_sql(text) == expected


@given(
    st.text()
    | st.lists(st.sampled_from(["SQL:", "```", "`", "\n", ";", "'", '"', "SELECT", " ", "x", "["])).map("".join)
)
def test_it_never_raises_and_extracting_again_changes_nothing(text: str) -> None:
    once = extract_sql(text)
    assert once == once.strip()
    assert extract_sql(once) == once
