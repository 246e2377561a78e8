"""The grammar accepts what ``render`` writes, byte for byte, and nothing near it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from t2s.sql.core import Column, Condition, LogicalForm, Table
from t2s.sql.grammar import wikisql_grammar
from t2s.sql.render import render


class _Bytes:
    """A tokenizer of single bytes, so that the test needs no model."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [*(bytes([i]) for i in range(256)), b"<eos>"]  # noqa: RUF012
    special_token_ids = [256]  # noqa: RUF012

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


TOKENIZER = LLTokenizer(TokenizerWrapper(_Bytes()))
TABLE = Table(
    'my "t"\\', (Column("a\\b"), Column('q"x'), Column("é {0}"), Column("''"), Column("Year"), Column("Year"))
)


def accepts(table: Table, text: str) -> bool:
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(wikisql_grammar(table)))
    assert not matcher.is_error(), matcher.get_error()
    tokens = list(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def test_shared_golds_are_accepted(
    wikisql_split: Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]],
) -> None:
    for _, table, lf in wikisql_split("test")[::10]:
        assert accepts(table, " " + render(lf, table))


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        LogicalForm,
        st.integers(0, 5),
        st.integers(0, 5),
        st.lists(
            st.builds(
                Condition,
                st.integers(0, 5),
                st.integers(0, 2),
                st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False),
            ),
            max_size=4,
        ).map(tuple),
    )
)
def test_whatever_render_writes_is_accepted(lf: LogicalForm) -> None:
    assert accepts(TABLE, " " + render(lf, TABLE))


@pytest.mark.parametrize(
    "text",
    [
        'SELECT "Year" FROM "my ""t""\\"',
        ' SELECT "year" FROM "my ""t""\\"',
        ' SELECT "Nope" FROM "my ""t""\\"',
        ' SELECT "Year" FROM "other"',
        ' SELECT "Year"  FROM "my ""t""\\"',
        ' SELECT LENGTH("Year") FROM "my ""t""\\"',
        ' SELECT COUNT(*) FROM "my ""t""\\"',
        ' SELECT "Year" FROM "my ""t""\\" WHERE "Year" = 05',
        ' SELECT "Year" FROM "my ""t""\\" WHERE "Year" >= 5',
        ' SELECT "Year" FROM "my ""t""\\" WHERE "Year" = \'a',
        ' SELECT "Year" FROM "my ""t""\\" WHERE "Year" = "a"',
        ' SELECT "Year" FROM "my ""t""\\" WHERE "Year" = 1 OR "Year" = 2',
        ' SELECT "Year" FROM "my ""t""\\" WHERE ' + " AND ".join(['"Year" = 1'] * 5),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert not accepts(TABLE, text)
