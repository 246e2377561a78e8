"""Values held to the question: all its spans and numbers, WikiSQL's golds, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from test_grammar import TOKENIZER

from t2s.sql.core import Column, LogicalForm, Table
from t2s.sql.grammar import wikisql_grammar
from t2s.sql.grammar.spans import pieces
from t2s.sql.render import render, render_value

TABLE = Table("t", (Column("a"),))


def accepts(table: Table, text: str, question: str) -> bool:
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(wikisql_grammar(table, question)))
    assert not matcher.is_error(), matcher.get_error()
    tokens = list(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def takes(value: str, question: str) -> bool:
    return accepts(TABLE, f' SELECT "a" FROM "t" WHERE "a" = {value}', question)


def test_shared_golds_are_in_the_span_language(
    wikisql_split: Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]],
) -> None:
    asked = wikisql_split("test")[::10]
    outside = [
        line["question"] for line, table, lf in asked if not accepts(table, " " + render(lf, table), line["question"])
    ]
    assert not outside


@settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30), st.data())
def test_every_span_of_any_question_is_taken(question: str, data: st.DataObject) -> None:
    parts = pieces(question)
    solid = [number for number, part in enumerate(parts) if not part.isspace()]
    if solid:
        first = data.draw(st.sampled_from(solid))
        last = data.draw(st.sampled_from([number for number in solid if number >= first]))
        assert takes(render_value("".join(parts[first : last + 1])), question)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("'new york Jets'", True),
        ("'O''Brien'", True),
        ("'York'", True),
        ("'1,200.50'", True),
        ("1200.5", True),
        ("7", True),
        ("-3", True),
        ("'Yor'", False),
        ("'New Jets'", False),
        ("'York '", False),
        ("''", False),
        ("12", False),
        ("-7", False),
    ],
)
def test_a_value_is_a_span_up_to_case_or_a_number_that_stands_there(value: str, taken: bool) -> None:
    assert takes(value, "Did O'Brien of the New York Jets score 7 for $1,200.50 at -3?") is taken


def test_a_question_without_numbers_leaves_numbers_free_and_none_at_all_leaves_all_free() -> None:
    assert takes("5", "who?") and not takes("'what'", "who?")
    assert takes("'what'", "   ")
