"""Several adapters on one real base: a mixed batch writes what each of them writes alone; a bad one gets nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_rig import make_adapter
from peft import PeftModel
from tiny_model import save_tiny_model

from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.errors import AdapterError
from t2s.generate import Generation, Request, load_generator
from t2s.generate.core import BASE
from t2s.generate.engine import Generator
from t2s.model.load import load_base
from t2s.model.lora import read_lora
from t2s.registry import ResolvedAdapter
from t2s.serve.engine import Engine, Question
from t2s.serve.run import GENERATOR, check_adapter
from t2s.sql.schema import parse_schema

Overrides = Callable[[Path], list[str]]
NAMES = ["first", "second", BASE]


@pytest.fixture(scope="module")
def settings(tiny_overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    torch.set_num_threads(1)
    return [*tiny_overrides(tmp_path_factory.mktemp("adapters")), "inference.max_new_tokens=12"]


@pytest.fixture(scope="module")
def config(settings: list[str]) -> Config:
    return load([], settings)


@pytest.fixture(scope="module")
def directories(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters of different ranks, scales and layers, far enough from the base to write something else."""
    folder = tmp_path_factory.mktemp("made")
    return {
        "first": make_adapter(settings, folder / "first", 1, "lora.r=4"),
        "second": make_adapter(
            settings,
            folder / "second",
            2,
            "lora.r=8",
            "lora.use_rslora=true",
            "lora.target_modules=[q_proj, down_proj]",
        ),
    }


@pytest.fixture(scope="module")
def requests(config: Config) -> list[Request]:
    examples = build_pipeline(config.data).prepare()[1][:3]
    return [Request(e.question, e.schema, e.source, adapter=name) for e in examples for name in NAMES]


@pytest.fixture(scope="module")
def alone(config: Config, directories: dict[str, Path]) -> dict[str, Generator]:
    """Each as PEFT loads it, with a base of its own."""
    made = {name: load_generator(config, path, merge=False) for name, path in directories.items()}
    return made | {BASE: load_generator(config, None)}


def together(config: Config, directories: dict[str, Path]) -> Generator:
    generator = load_generator(config, None)
    for name, directory in directories.items():
        generator.attach(name, generator.read_adapter(directory))
    return generator


def each_alone(alone: dict[str, Generator], requests: list[Request], inference: Any) -> list[Generation]:
    answers: list[Generation] = []
    for request in requests:
        generator = alone[str(request.adapter)].with_inference(inference)
        answers += generator.generate([replace(request, adapter=None)])
    return answers


@pytest.mark.parametrize(
    "way",
    [
        {},
        {"grammar": "wikisql", "values": "span"},
        {"grammar": "wikisql", "execution_guided": 2},
        {"grammar": "wikisql", "execution_guided": 2, "candidates": "sample"},
    ],
)
def test_a_mixed_batch_writes_what_each_adapter_writes_alone(
    config: Config, directories: dict[str, Path], alone: dict[str, Generator], requests: list[Request], way: Any
) -> None:
    inference = config.inference.model_copy(update=way)
    expected = each_alone(alone, requests, inference)
    generator = together(config, directories).with_inference(inference)
    # The second time, each adapter's schemas and drafts are remembered.
    assert generator.generate(requests) == expected and generator.generate(requests) == expected
    by_adapter = [[answer.text for answer in expected[number :: len(NAMES)]] for number in range(len(NAMES))]
    assert all(len(set(texts)) > 1 for texts in zip(*by_adapter, strict=True)), "the adapters hardly differ"


def test_a_model_left_to_its_own_generate_writes_the_same(
    config: Config, directories: dict[str, Path], alone: dict[str, Generator], requests: list[Request]
) -> None:
    generator = together(config, directories)
    generator._own_loop = False
    assert generator.generate(requests) == each_alone(alone, requests, config.inference)


def test_with_packed_weights_a_mixed_batch_writes_what_a_batch_of_one_adapter_writes(
    settings: list[str], directories: dict[str, Path], requests: list[Request]
) -> None:
    config = load([], [*settings, "inference.weights=half"])
    generator, separate = together(config, directories), together(config, directories)
    expected = {name: separate.generate([r for r in requests if r.adapter == name]) for name in NAMES}
    assert generator.generate(requests) == [
        answer for group in zip(*expected.values(), strict=True) for answer in group
    ]


@pytest.mark.parametrize("merge", [True, False])
def test_what_the_weights_hold_is_taken_off_for_the_base_and_for_others(
    config: Config,
    directories: dict[str, Path],
    alone: dict[str, Generator],
    requests: list[Request],
    merge: bool,
) -> None:
    generator = load_generator(config, directories["first"], merge)
    generator.attach("second", generator.read_adapter(directories["second"]))
    own = [replace(r, adapter=None) if r.adapter == "first" else r for r in requests]
    assert generator.generate(own) == each_alone(alone, requests, config.inference)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3)])
def test_the_numbers_are_pefts_for_each_row_by_itself(
    config: Config, directories: dict[str, Path], dtype: torch.dtype, tolerance: float
) -> None:
    generator = together(config, directories)
    peer: Any = PeftModel.from_pretrained(load_base(config, for_training=False)[0], directories["first"], "first")
    peer.load_adapter(directories["second"], "second")
    for name, parameter in [*generator.model.named_parameters(), *peer.eval().named_parameters()]:
        if "lora_" not in name:  # which stay in fp32 beside a base in half precision
            parameter.data = parameter.data.to(dtype)
    ids, names = torch.arange(40).view(5, 8), ["second", "first", "first", BASE, "second"]
    with torch.inference_mode(), generator.adapters.writing(names):
        found = generator.model(input_ids=ids).logits
    for row, name in enumerate(names):
        peer.set_adapter("first" if name == BASE else name)
        with torch.inference_mode(), peer.disable_adapter() if name == BASE else nullcontext():
            assert (found[row] - peer(input_ids=ids).logits[row]).abs().mean() < tolerance


def test_what_was_remembered_of_an_adapter_goes_with_it(
    config: Config, directories: dict[str, Path], alone: dict[str, Generator], requests: list[Request]
) -> None:
    generator = together(config, directories)
    generator.generate(requests)
    generator.detach("first")
    with pytest.raises(AdapterError, match="no adapter 'first' is attached; there are base, second"):
        generator.generate(requests)
    generator.attach("first", generator.read_adapter(directories["second"]))
    asked = [request for request in requests if request.adapter == "first"]
    expected = each_alone(alone, [replace(request, adapter="second") for request in asked], config.inference)
    assert generator.generate(asked) == expected


def test_an_adapter_that_is_more_than_products_is_served_alone_and_not_taken_off(
    settings: list[str], requests: list[Request], tmp_path: Path
) -> None:
    dora = make_adapter(settings, tmp_path / "dora", 3, "lora.use_dora=true")
    config = load([], settings)
    with pytest.raises(AdapterError, match="use_dora is more than a product"):
        read_lora(dora, torch.device("cpu"))
    generator = load_generator(config, dora)
    assert generator.generate([replace(requests[0], adapter=None)])
    with pytest.raises(AdapterError, match="use_dora"):
        generator.generate([replace(requests[0], adapter=BASE)])


def test_an_adapter_of_a_layer_that_the_base_lacks_is_refused_when_it_is_attached(
    config: Config, directories: dict[str, Path]
) -> None:
    generator = load_generator(config, None)
    lora = generator.read_adapter(directories["first"])
    name, product = next(iter(lora.items()))
    with pytest.raises(AdapterError, match="the base has no layer"):
        generator.attach("a", {"model.other": product})
    with pytest.raises(AdapterError, match="head"):
        generator.attach("b", {"lm_head": product})
    with pytest.raises(AdapterError, match="adapter c does not fit"):
        generator.attach("c", {name: replace(product, a=product.a[:, 1:])})
    assert generator.generate(
        [Request("Which name?", parse_schema("TABLE: people ( name (text), team (text) )"))]
    )  # and nothing of them stays


def test_a_bad_adapter_is_refused_before_a_process_starts(
    settings: list[str], directories: dict[str, Path], tmp_path: Path
) -> None:
    foreign = make_adapter(
        [*settings, f"model.name={save_tiny_model(tmp_path / 'base', seed=9)}"], tmp_path / "foreign", 4
    )
    damaged = make_adapter(settings, tmp_path / "damaged", 5)
    weights = damaged / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    dora = make_adapter(settings, tmp_path / "dora", 6, "lora.use_dora=true")
    for bad, line in ((foreign, "trained on"), (damaged, "SHA-256 differs"), (dora, "serve it alone")):
        given = [
            *settings,
            f"serve.adapter={directories['first']}",
            f"serve.adapters={json.dumps({'other': str(bad)})}",
        ]
        with pytest.raises(AdapterError, match=rf"serve\.adapters\.other: .*{line}"):
            check_adapter(load([], given))
        with pytest.raises(AdapterError, match=line):
            Engine(load([], given), ResolvedAdapter(directories["first"], "1", None), GENERATOR)


def test_a_replica_answers_with_all_of_them_and_swaps_one(
    settings: list[str], directories: dict[str, Path], alone: dict[str, Generator], requests: list[Request]
) -> None:
    given = [*settings, f"serve.adapter={directories['first']}", "serve.adapters={other: none}"]
    config = load([], given)
    engine = Engine(config, ResolvedAdapter(directories["first"], "1", None), GENERATOR)
    question = Question(requests[0].question, requests[0].schema)

    async def ask(*names: str | None) -> list[tuple[str, str]]:
        written = await asyncio.gather(*(engine.write(replace(question, adapter=name)) for name in names))
        return [(each.generation.text, each.adapter.version) for each in written]

    first, second, base = (
        alone[name].generate([replace(requests[0], adapter=None)])[0].text for name in ("first", "second", BASE)
    )
    with asyncio.Runner() as loop:  # as a replica: one loop for all its questions
        assert loop.run(ask(None, BASE, "other", "1")) == [(first, "1"), (base, BASE), (base, "none"), (first, "1")]
        engine.swap(ResolvedAdapter(directories["second"], "2", None))
        assert loop.run(ask(None, "2", BASE)) == [(second, "2"), (second, "2"), (base, BASE)]
        with pytest.raises(AdapterError, match="no adapter '1' here any more"):
            loop.run(ask("1"))
