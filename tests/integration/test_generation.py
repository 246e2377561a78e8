"""Generation with a real model: answers do not depend on the batch, end where SQL ends, and obey the grammar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from t2s.config import InferenceConfig, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.generate import Request, load_generator
from t2s.generate.constrained import GrammarLogitsProcessor
from t2s.generate.engine import Generator, _StopWhenComplete
from t2s.sql.parse import parse


@pytest.fixture(scope="module")
def generator(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Generator:
    torch.set_num_threads(1)
    return load_generator(load([], tiny_overrides(tmp_path_factory.mktemp("generation"))), None)


@pytest.fixture(scope="module")
def examples(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    config = load([], tiny_overrides(tmp_path_factory.mktemp("examples")))
    return list(build_pipeline(config.data).prepare()[2])


def with_settings(generator: Generator, **settings: object) -> Generator:
    return Generator(generator.model, generator.tokenizer, InferenceConfig.model_validate(settings), generator.prompt)


def test_an_answer_does_not_depend_on_its_batch(generator: Generator, examples: list[Example]) -> None:
    requests = [Request(example.question, example.schema) for example in examples]
    alone = with_settings(generator, batch_size=1, max_new_tokens=24).generate(requests)
    together = with_settings(generator, batch_size=7, max_new_tokens=24).generate(requests)
    assert alone == together
    assert len({answer.text for answer in alone}) > 8, "the answers hardly differ: the test would prove nothing"
    assert all(0 < answer.num_tokens <= 24 for answer in alone)


def test_batches_come_shortest_first_and_name_their_questions(generator: Generator, examples: list[Example]) -> None:
    requests = [Request(example.question, example.schema) for example in examples]
    batches = list(with_settings(generator, batch_size=5, max_new_tokens=2).stream(requests))
    positions = [position for batch in batches for position, _ in batch]
    assert [len(batch) for batch in batches] == [5, 5, 5, 1] and sorted(positions) == list(range(16))
    assert list(generator.stream([])) == [] == generator.generate([])


@pytest.mark.parametrize("batch_size", [1, 7])
def test_under_the_grammar_even_a_random_model_writes_sql_over_its_own_table(
    generator: Generator, examples: list[Example], batch_size: int
) -> None:
    requests = [Request(example.question, example.schema) for example in examples]
    held = with_settings(generator, batch_size=batch_size, max_new_tokens=128, grammar="wikisql")
    answers = held.generate(requests)
    finished = [(a, r) for a, r in zip(answers, requests, strict=True) if a.finished]
    assert len(finished) >= 2
    for answer, request in finished:
        parse(answer.sql, request.schema.table)  # raises if it is not SQL over this table
    assert all(answer.text.startswith(" SELECT ") for answer in answers)


def test_the_grammar_forbids_scores_beyond_the_vocabulary(generator: Generator, examples: list[Example]) -> None:
    tokenizer, table = generator.tokenizer, examples[0].schema.table
    processor = GrammarLogitsProcessor(tokenizer, [table], prompt_length=3)
    allowed = processor(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, len(tokenizer) + 77)).isfinite()[0]
    words = {tokenizer.decode([token]) for token in allowed.nonzero().flatten().tolist()}
    assert words and all(" SELECT ".startswith(word) for word in words) and not allowed[len(tokenizer) :].any()


@pytest.mark.parametrize(
    ("text", "ends", "sql"),
    [
        (' SELECT "a" FROM t;', True, 'SELECT "a" FROM t'),
        (" SELECT a FROM t WHERE b = 'x;", False, None),
        (" SELECT a FROM t WHERE b = 'x; y';", True, "SELECT a FROM t WHERE b = 'x; y'"),
        (' SELECT "a;', False, None),
        (" SELECT a FROM t\n", False, None),
        (" SELECT a FROM t\n\n", True, "SELECT a FROM t"),
        (" SELECT a FROM t WHERE b = 'it''s; so", False, None),
        (" SELECT a FROM [b;", False, None),
        ("\n", False, None),
    ],
)
def test_writing_ends_at_a_semicolon_outside_quotes(
    generator: Generator, text: str, ends: bool, sql: str | None
) -> None:
    prompt, written = generator.tokenizer("SQL:")["input_ids"], generator.tokenizer(text)["input_ids"]
    rows = torch.tensor([prompt + written, prompt + [written[0]] * len(written)])
    stop = _StopWhenComplete(generator, len(prompt))
    assert stop(rows, None).tolist()[0] is ends
    answer = generator._read(written + generator.tokenizer(" and more")["input_ids"])
    assert answer.finished is ends
    assert sql is None or (answer.sql, answer.num_tokens) == (sql, len(written))
