"""Generation with a real model: answers do not depend on the batch, equal Hugging Face's, end where SQL ends, and obey
the grammar.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from t2s.config import InferenceConfig, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.errors import ConfigError, SetupError
from t2s.generate import Request, load_generator
from t2s.generate.attention import grouped
from t2s.generate.batch import Batch, cache_argument
from t2s.generate.candidates import beam, sample
from t2s.generate.constrained import Constraint
from t2s.generate.engine import Generator
from t2s.generate.weights import PackedLinear, pack
from t2s.generate.writer import Writer
from t2s.model.base import find_base
from t2s.sql.grammar import grammar_of
from t2s.sql.parse import parse


@pytest.fixture(scope="module")
def generator(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Generator:
    torch.set_num_threads(1)
    return load_generator(load([], tiny_overrides(tmp_path_factory.mktemp("generation"))), None)


@pytest.fixture(scope="module")
def examples(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    config = load([], tiny_overrides(tmp_path_factory.mktemp("examples")))
    return list(build_pipeline(config.data).prepare()[2])


@pytest.fixture(scope="module")
def requests(examples: list[Example]) -> list[Request]:
    return [Request(example.question, example.schema, example.source) for example in examples]


def with_settings(generator: Generator, **chosen: object) -> Generator:
    return Generator(generator.model, generator.tokenizer, InferenceConfig.model_validate(chosen), generator.prompt)


def by_hugging_face(generator: Generator, requests: list[Request]) -> Generator:
    peer = with_settings(generator, **generator.config.model_dump())
    peer._own_loop = False
    peer._answer = lambda asked, encoded, shared: peer._fall_back(  # type: ignore[method-assign]
        [peer.writer(*each) for each in zip(asked, encoded, shared, strict=True)]
    )
    return peer


def test_an_answer_does_not_depend_on_its_batch(generator: Generator, requests: list[Request]) -> None:
    alone = with_settings(generator, batch_size=1, max_new_tokens=24).generate(requests)
    together = with_settings(generator, batch_size=7, max_new_tokens=24).generate(requests)
    assert alone == together
    assert len({answer.text for answer in alone}) > 8, "the answers hardly differ: the test would prove nothing"
    assert all(0 < answer.num_tokens <= 24 for answer in alone)


def test_heads_of_a_group_that_ask_together_compute_the_same(generator: Generator) -> None:
    model, tokens = generator.model, torch.arange(3, 27).reshape(2, 12)
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, 3:5] = 0  # slots that a row does not use

    def passes() -> torch.Tensor:
        with torch.inference_mode():
            cache = {cache_argument(type(model).forward): DynamicCache(config=model.config)}
            model(tokens[:, :8], attention_mask=mask[:, :8], use_cache=True, **cache)
            return model(tokens[:, 8:], attention_mask=mask, **cache).logits

    expected = passes()
    with grouped(model):
        assert model.config._attn_implementation != "sdpa"
        found = passes()
    assert model.config._attn_implementation == "sdpa"
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("batch_size", [1, 7])
def test_without_a_grammar_the_tokens_are_those_of_hugging_face(
    generator: Generator, requests: list[Request], batch_size: int
) -> None:
    ours = with_settings(generator, batch_size=batch_size, max_new_tokens=24)
    expected = by_hugging_face(ours, requests).generate(requests)
    assert ours.generate(requests) == expected
    assert ours.generate(requests) == expected, "what it remembers of the first time changed an answer"
    assert len(ours.decoder.prefixes) > 0


def test_guesses_and_forced_tokens_save_passes_and_change_no_answer(
    generator: Generator, requests: list[Request]
) -> None:
    held = with_settings(generator, batch_size=1, max_new_tokens=48, grammar="wikisql")
    first = held.generate(requests)
    assert held.decoder.passes < sum(answer.num_tokens for answer in first)
    before = held.decoder.passes
    again = held.generate(requests)
    assert again == first and held.decoder.passes < 2 * before
    held.decoder.drafts = None
    assert held.generate(requests) == first


def test_batches_come_shortest_first_and_name_their_questions(generator: Generator, requests: list[Request]) -> None:
    batches = list(with_settings(generator, batch_size=5, max_new_tokens=2).stream(requests))
    positions = [position for batch in batches for position, _ in batch]
    assert [len(batch) for batch in batches] == [5, 5, 5, 1] and sorted(positions) == list(range(16))
    assert list(generator.stream([])) == [] == generator.generate([])


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("values", ["free", "span"])
def test_under_the_grammar_even_a_random_model_writes_sql_over_its_own_table(
    generator: Generator, requests: list[Request], batch_size: int, values: str
) -> None:
    held = with_settings(generator, batch_size=batch_size, max_new_tokens=128, grammar="wikisql", values=values)
    answers = held.generate(requests)
    finished = [(a, r) for a, r in zip(answers, requests, strict=True) if a.finished]
    assert len(finished) >= 2
    for answer, request in finished:
        form = parse(answer.sql, request.schema.table)  # raises if it is not SQL over this table
        asked = " ".join(request.question.split()).casefold()
        assert values == "free" or all(str(c.value).casefold() in asked for c in form.conds if isinstance(c.value, str))
    assert all(answer.text.startswith(" SELECT ") for answer in answers)


def test_the_grammar_forbids_scores_beyond_the_vocabulary(generator: Generator, examples: list[Example]) -> None:
    tokenizer, schema = generator.tokenizer, examples[0].schema
    constraint = Constraint(tokenizer, grammar_of(schema, "wikisql"), tokenizer.eos_token_id)
    allowed = constraint.allowed(len(tokenizer) + 77)
    words = {tokenizer.decode([token]) for token in np.flatnonzero(allowed)}
    assert words and all(" SELECT ".startswith(word) for word in words) and not allowed[len(tokenizer) :].any()


@pytest.mark.parametrize("candidates", ["beam", "sample"])
def test_guided_answers_do_not_depend_on_the_batch_and_run(
    generator: Generator, requests: list[Request], candidates: str
) -> None:
    chosen = {"execution_guided": 3, "candidates": candidates, "grammar": "wikisql", "max_new_tokens": 64}
    alone = with_settings(generator, batch_size=1, **chosen).generate(requests[:6])
    together = with_settings(generator, batch_size=6, **chosen).generate(requests[:6])
    assert alone == together and any(answer.finished for answer in alone)


def test_a_base_that_answers_greedily_only_is_never_called_guided(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("t2s.generate.engine.is_supported", lambda model: False)
    with pytest.raises(ConfigError, match=r"execution_guided=3: .* greedily only: set inference\.execution_guided=1"):
        with_settings(generator, execution_guided=3)
    with pytest.raises(ConfigError, match="greedily only"):
        with_settings(generator).with_inference(InferenceConfig(execution_guided=3))


def test_prompts_beyond_a_sliding_window_are_left_to_generate_and_the_log_says_so(
    generator: Generator, requests: list[Request], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = with_settings(generator, max_new_tokens=4).generate(requests[:2])
    monkeypatch.setattr("t2s.generate.engine.longest", lambda model: 16)
    assert with_settings(generator, max_new_tokens=4).generate(requests[:2]) == expected
    assert "2 prompts do not fit a window of 16 tokens" in caplog.text


def test_a_prompt_beyond_the_context_is_not_computed_and_costs_its_neighbours_nothing(
    generator: Generator, requests: list[Request], caplog: pytest.LogCaptureFixture
) -> None:
    held = with_settings(generator, max_new_tokens=4)
    long = Request("Who? " * 1100, requests[0].schema)
    first, answer, last = held.generate([requests[0], long, requests[1]])
    assert [first, last] == [held.generate([each])[0] for each in requests[:2]]
    assert (answer.sql, answer.finished) == ("", False) and "the model's context 1024" in str(answer.problem)
    assert str(answer.problem) in caplog.text


def test_a_beam_of_one_is_greedy_and_a_wider_one_holds_different_answers_the_best_first(
    generator: Generator, requests: list[Request]
) -> None:
    held = with_settings(generator, grammar="wikisql", max_new_tokens=64)
    encoded = held.tokenizer(held.prompts(requests[:4]))["input_ids"]

    def made() -> list[Writer]:
        return [held.writer(request, ids, ()) for request, ids in zip(requests, encoded, strict=False)]

    greedy = [group[0] for group in sample(held.decoder, made(), 1)]
    wide = beam(held.decoder, made(), [()] * 4, 4)
    narrow = beam(held.decoder, made(), [()] * 4, 1)
    assert [group[0].written for group in narrow] == [writer.written for writer in greedy]
    for group in wide:
        assert len(group) == len({tuple(writer.written) for writer in group}) == 4
        assert [writer.score for writer in group] == sorted((writer.score for writer in group), reverse=True)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(3, 200), min_size=1, max_size=9), min_size=1, max_size=4), st.data())
def test_a_batch_fed_in_any_blocks_gives_the_logits_of_each_row_alone(
    generator: Generator, rows: list[list[int]], data: st.DataObject
) -> None:
    batch = Batch(generator.model, [None] * len(rows))
    left = [list(row) for row in rows]
    last: dict[int, torch.Tensor] = {}
    with torch.inference_mode():
        while any(left):
            blocks = [row[: data.draw(st.integers(1, 4))] for row in left]
            ended = [r for r, block in enumerate(blocks) if block and len(block) == len(left[r])]
            logits = batch.feed(blocks, [[len(b) - 1] if r in ended else [] for r, b in enumerate(blocks)])
            last |= dict(zip(ended, logits, strict=True))
            left = [row[len(block) :] for row, block in zip(left, blocks, strict=True)]
        for row, tokens in enumerate(rows):
            expected = generator.model(torch.tensor([tokens])).logits[0, -1]
            assert torch.allclose(last[row], expected, atol=1e-4)


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
    generator: Generator, requests: list[Request], text: str, ends: bool, sql: str | None
) -> None:
    written = generator.tokenizer(text)["input_ids"]
    writer = with_settings(generator, max_new_tokens=99).writer(requests[0], [1], ())
    for token in written + generator.tokenizer(" and more")["input_ids"]:
        if not writer.is_over:
            writer.write(token)
    answer = generator.read(writer)
    assert answer.finished is ends
    assert sql is None or (answer.sql, answer.num_tokens) == (sql, len(written))


def test_packed_weights_give_nearly_the_same_logits(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    model = load_generator(load([], tiny_overrides(tmp_path)), None).model
    ids = torch.tensor([[5, 9, 40, 200, 7]])
    with torch.inference_mode():
        expected = model(ids).logits
        packed = pack(model, "half")
        assert any(isinstance(module, PackedLinear) for module in packed.modules())
        found = packed(ids).logits
    assert 0 < (found - expected).abs().max() < 2e-2 * expected.abs().max()


def test_packed_weights_are_refused_off_the_cpu() -> None:
    with pytest.raises(ConfigError, match=r"inference\.weights=half is for a CPU"):
        pack(_Elsewhere(), "half")


class _Elsewhere(torch.nn.Linear):
    device = torch.device("meta")

    def __init__(self) -> None:
        super().__init__(2, 2)


@pytest.mark.real
def test_smollm2_writes_the_tokens_of_hugging_face(examples: list[Example]) -> None:
    overrides = ["model.name=HuggingFaceTB/SmolLM2-135M-Instruct", "training.use_gpu=false"]
    config = load([], [*overrides, "inference.max_new_tokens=32", "inference.batch_size=4"])
    try:
        find_base(config.model)
    except SetupError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)
    ours = load_generator(config, None)
    asked = [Request(example.question, example.schema) for example in examples[:8]]
    assert ours.generate(asked) == by_hugging_face(ours, asked).generate(asked)
