"""A real model behind the routes: what is served is what is evaluated, and who goes away frees the decoder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.generate import Request, load_generator
from t2s.generate.engine import Generator
from t2s.registry import ResolvedAdapter
from t2s.serve.engine import Engine, inference_for
from t2s.serve.in_process import InProcess
from t2s.serve.routes import build_api
from t2s.serve.run import GENERATOR
from t2s.serve.service import Service
from t2s.sql.schema import render_schema

NUM_PROMPTS = 100
REGIMES: list[Any] = ["unconstrained", "grammar"]


@pytest.fixture(scope="module")
def config(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Config:
    torch.set_num_threads(1)
    settings = tiny_overrides(tmp_path_factory.mktemp("served"))
    many = [
        f"data.options={{num_train: 8, num_val: 8, num_test: {NUM_PROMPTS}}}",
        f"serve.max_batch_questions={NUM_PROMPTS}",
    ]
    return load([], [*settings, *many])


@pytest.fixture(scope="module")
def generator(config: Config) -> Generator:
    return load_generator(config, None)


@pytest.fixture(scope="module")
def requests(config: Config) -> list[Request]:
    examples = build_pipeline(config.data).prepare()[2]
    return [Request(example.question, example.schema) for example in examples][:NUM_PROMPTS]


@pytest.mark.parametrize("regime", REGIMES)
def test_what_is_served_is_what_is_evaluated(
    config: Config, generator: Generator, requests: list[Request], regime: Any
) -> None:
    evaluated = generator.with_inference(inference_for(regime, config.inference)).generate(requests)
    engine = Engine(config, ResolvedAdapter(None, "none", None), GENERATOR)
    api = build_api(Service(config, InProcess(engine), engine.adapter))
    asks = [{"question": r.question, "schema": render_schema(r.schema), "regime": regime} for r in requests]

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://localhost") as client:
            return await client.post("/v1/sql/batch", json={"questions": asks})

    served = asyncio.run(post()).json()["answers"]
    assert len(served) == NUM_PROMPTS and len({answer.sql for answer in evaluated}) > 8
    assert [answer["sql"] for answer in served] == [answer.sql for answer in evaluated]


@pytest.mark.parametrize("guided", [1, 3])
def test_an_answer_that_nobody_wants_ends_between_two_passes(
    config: Config, generator: Generator, requests: list[Request], guided: int
) -> None:
    held = generator.with_inference(config.inference.model_copy(update={"execution_guided": guided}))
    few = requests[:4]
    whole = held.generate(few)
    asked = itertools.count()
    leaving = replace(few[1], should_stop=lambda: next(asked) >= 4 * guided)
    left = held.generate([few[0], leaving, *few[2:]])
    assert whole[1].num_tokens > 10 and left[1].num_tokens <= 8 and not left[1].finished
    assert [left[0], *left[2:]] == [whole[0], *whole[2:]]


def test_a_request_may_ask_for_fewer_tokens_and_not_for_more(generator: Generator, requests: list[Request]) -> None:
    short, long = generator.generate([replace(requests[0], max_tokens=n) for n in (5, 4000)])
    assert short.num_tokens == 5 and not short.finished
    assert long == generator.generate(requests[:1])[0]
