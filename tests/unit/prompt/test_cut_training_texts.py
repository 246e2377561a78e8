"""Schemas that do not fit, in training: what is left out, what stays, and that it is counted."""

from __future__ import annotations

import pytest

from t2s.config import Config, PromptConfig, load
from t2s.data.core import Example
from t2s.errors import DataError
from t2s.prompt import compose
from t2s.sql.core import Column, Condition, LogicalForm, Schema, Table
from t2s.sql.render import render
from t2s.train.texts import TrainingTexts, build_texts, names_missing

WIDE = Schema((Table("table", tuple(Column(f"filler number {n}") for n in range(100))),))
TWO = Schema((Table("a", (Column("id"), Column("x"), Column("y"))), Table("b", (Column("id"), Column("z")))))


class Words:
    """A tokenizer: one token a word."""

    eos_token_id = 0

    def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
        return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


def example(column: int, question: str) -> Example:
    form = LogicalForm(column, 0, (Condition(0, 0, "x"),))
    return Example(f"e{column}", question, WIDE, render(form, WIDE.table), form)


def build(examples: list[Example], *overrides: str) -> TrainingTexts:
    config: Config = load([], ["prompt.max_schema_chars=300", "training.max_length=200", *overrides])
    return build_texts(config, examples, examples[:1], Words())


def test_an_example_whose_query_names_a_cut_column_is_left_out_and_counted() -> None:
    texts = build([example(1, "Which filler?"), example(2, "Which filler?"), example(99, "Which filler?")])
    assert (len(texts.train), len(texts.val)) == (2, 1)
    assert (texts.num_cut, texts.num_gold_cut, texts.num_too_long) == (4, 1, 0)


def test_the_question_alone_decides_what_is_cut() -> None:
    assert names_missing(
        example(99, "q"), compose("Which filler?", WIDE, PromptConfig(max_schema_chars=300)).fitted.schema
    )
    asked = compose("Which filler number 99 and 0?", WIDE, PromptConfig(max_schema_chars=300)).fitted.schema
    assert not names_missing(example(99, "q"), asked)


def test_nothing_is_cut_or_counted_by_default() -> None:
    texts = build([example(1, "q")], "prompt.max_schema_chars=12000", "training.max_length=1000")
    assert (texts.num_cut, texts.num_gold_cut, texts.num_without_values) == (0, 0, 0)


def test_prompts_that_can_show_no_values_are_counted() -> None:
    texts = build(
        [example(1, "q")], "prompt.sample_values=3", "prompt.max_schema_chars=12000", "training.max_length=1000"
    )
    assert texts.num_without_values == 2


def test_no_example_left_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(DataError, match=r"all 1 queries name a column that prompt\.max_schema_chars cuts"):
        build([example(99, "q")])
    with pytest.raises(DataError, match=r"training\.max_length=16"):
        build([example(1, "q")], "training.max_length=16")


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("SELECT x FROM a", False),
        ("SELECT y FROM a", True),
        ("SELECT Y FROM A", True),
        ("SELECT t.y FROM a AS t", True),
        ("SELECT a.id FROM a JOIN b ON a.id = b.id", True),  # b is gone
        ("SELECT count(*) FROM a", False),
        ("SELECT z FROM b", True),
        ("SELECT x AS y FROM a", False),
        ("not SQL", False),
    ],
)
def test_a_query_outside_the_logical_form_is_read_for_its_names(sql: str, missing: bool) -> None:
    shown = Schema((Table("a", (Column("id"), Column("x"))),))
    assert names_missing(Example("e", "q", TWO, sql), shown) is missing
