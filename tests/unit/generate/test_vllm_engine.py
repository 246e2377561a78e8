"""What vLLM is asked and how its answers are read, with something in its place that speaks its interface."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import llguidance
import pytest
from tiny_model import fixed_texts, save_tokenizer

from t2s.config import InferenceConfig, PromptConfig, load
from t2s.errors import AdapterError, ConfigError, DataError, SetupError
from t2s.generate import Request, vllm
from t2s.generate.core import BASE, HoldsAdapters
from t2s.generate.vllm import VLLMGenerator
from t2s.model.base import BaseFiles
from t2s.sql.schema import parse_schema

SCHEMA = parse_schema("TABLE: people ( name (text), team (text) )")
FILES = BaseFiles("tiny", Path("/base"), None, "f" * 16)
_MODULES = ("vllm", "vllm.exceptions", "vllm.sampling_params", "vllm.lora", "vllm.lora.request")
GPU = ["serve.engine=vllm", "quantization.load_in_4bit=false"]


@dataclass
class SamplingParams:
    temperature: float
    max_tokens: int
    structured_outputs: Any


@dataclass
class StructuredOutputsParams:
    grammar: str


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class VLLMClientError(Exception):
    """What vLLM says of a request that is wrong; it is no ValueError."""


class Engine:
    """One token a step for each open request, of a text that its adapter chooses."""

    def __init__(self, tokenizer: Any, texts: dict[str | None, str]) -> None:
        self.tokenizer, self.texts = tokenizer, texts
        self.open: dict[str, tuple[list[int], SamplingParams]] = {}
        self.given: dict[str, tuple[Any, SamplingParams, Any]] = {}
        self.written: dict[str, list[int]] = {}
        self.aborted: list[str] = []
        self.loras: dict[int, str] = {}
        self.dies = False

    def add_request(self, name: str, prompt: Any, params: SamplingParams, lora_request: Any) -> None:
        assert prompt["type"] == "token"
        if len(prompt["prompt_token_ids"]) > 200:
            raise VLLMClientError("The prompt is longer than the maximum model length\nof 200")
        self.given[name] = (prompt, params, lora_request)
        text = self.texts[lora_request and lora_request.lora_path.strip("/")]
        self.open[name] = (self.tokenizer(text)["input_ids"], params)
        self.written[name] = []

    def has_unfinished_requests(self) -> bool:
        return bool(self.open)

    def step(self) -> list[Any]:
        outputs = []
        if self.dies:
            raise RuntimeError("EngineCore encountered an issue")
        for name, (tokens, params) in list(self.open.items()):
            written = self.written[name]
            written.append(tokens[len(written)])
            ended = written[-1] == self.tokenizer.eos_token_id
            reason = "stop" if ended else "length" if len(written) == params.max_tokens else None
            if reason:
                del self.open[name]
            said = SimpleNamespace(token_ids=list(written), finish_reason=reason)
            outputs.append(SimpleNamespace(request_id=name, outputs=[said], finished=reason is not None))
        return outputs

    def abort_request(self, names: Sequence[str]) -> None:
        self.aborted += [name for name in names if self.open.pop(name, None) is not None]

    def add_lora(self, request: LoRARequest) -> bool:
        if "broken" in request.lora_path:
            raise Exception("is not supported\nat all")  # as it comes out of vLLM's other process
        self.loras[request.lora_int_id] = request.lora_path
        return True

    def remove_lora(self, number: int) -> bool:
        del self.loras[number]
        return True


@dataclass
class Place:
    """Where vLLM would be, and with what it was started."""

    engine: Engine
    generator: VLLMGenerator
    started: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    tokenizer = save_tokenizer(tmp_path / "tokenizer", (text for pair in fixed_texts() for text in pair))
    texts = {
        None: " SELECT name FROM people</s>",
        "a": " SELECT team FROM people; SELECT 2</s>",
        "b": " SELECT 'x" * 40,
    }
    engine = Engine(tokenizer, texts)
    made = Place(engine, VLLMGenerator(engine, tokenizer, InferenceConfig(), PromptConfig(), FILES))

    def start(**settings: Any) -> Any:
        made.started = settings
        return SimpleNamespace(llm_engine=engine)

    modules = {name: ModuleType(name) for name in _MODULES}
    modules["vllm.exceptions"].VLLMClientError = VLLMClientError  # type: ignore[attr-defined]
    modules["vllm"].LLM, modules["vllm"].SamplingParams = start, SamplingParams  # type: ignore[attr-defined]
    modules["vllm.sampling_params"].StructuredOutputsParams = StructuredOutputsParams  # type: ignore[attr-defined]
    modules["vllm.lora.request"].LoRARequest = LoRARequest  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def ask(question: str = "who", **given: Any) -> Request:
    return Request(question, SCHEMA, **given)


def test_without_vllm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"not installed: pip install 't2s\[vllm\]'"):
        vllm.load_generator(load([], GPU), None)


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("inference.execution_guided=3", "inference.execution_guided=1"),
        ("inference.weights=half", "inference.weights=full"),
        ("quantization.load_in_4bit=true", "quantization.load_in_4bit=false"),
        ("training.use_gpu=false", "training.use_gpu=true"),
    ],
)
def test_what_vllm_cannot_do_is_refused_with_its_cure(setting: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"serve\.engine=vllm does not go with .*set {key}"):
        load([], [*GPU, setting])


def test_answers_come_in_order_each_from_its_adapter_and_end_where_ours_end(place: Place) -> None:
    assert isinstance(place.generator, HoldsAdapters)
    for name in "ab":
        place.generator.attach(name, Path(f"/{name}"))
    requests = [ask(adapter="a"), ask(), ask(adapter="b", max_tokens=5), ask(adapter=BASE)]
    found = place.generator.generate(requests)
    expected = ["SELECT team FROM people", "SELECT name FROM people", "SELECT name FROM people"]
    assert [found[at].sql for at in (0, 1, 3)] == expected
    assert [answer.finished for answer in found] == [True, True, False, True]
    assert found[0].text == " SELECT team FROM people;" and found[2].num_tokens == 5
    assert [lora and lora.lora_path for _, _, lora in place.engine.given.values()] == ["/a", None, "/b", None]


@pytest.mark.parametrize("grammar", ["wikisql", "select"])
def test_the_grammar_that_vllm_gets_is_the_one_that_transformers_is_held_to(place: Place, grammar: str) -> None:
    inference = InferenceConfig(grammar=grammar, values="span", max_new_tokens=30)  # type: ignore[arg-type]
    place.generator.with_inference(inference).generate([ask("is Bo it?", max_tokens=7)])
    (prompt, params, _), *_ = place.engine.given.values()
    text = place.engine.tokenizer.decode(prompt["prompt_token_ids"])
    assert "QUESTION: is Bo it?" in text and (params.temperature, params.max_tokens) == (0.0, 7)
    lark = params.structured_outputs.grammar
    # As vLLM's backend makes of it, before it is compiled.
    assert llguidance.grammar_from("grammar", lark) == llguidance.LLMatcher.grammar_from_lark(lark)
    assert not llguidance.LLMatcher.validate_grammar(llguidance.grammar_from("grammar", lark))


def test_who_goes_away_leaves_the_batch(place: Place) -> None:
    asked = iter([False, False, True])
    gone = ask(should_stop=lambda: next(asked, True))
    stays, stopped = place.generator.generate([ask(), gone])
    assert stays.finished and not stopped.finished and stopped.num_tokens == 3 and len(place.engine.aborted) == 1


def test_a_prompt_that_is_too_long_is_the_questions_error_and_nothing_is_left_behind(place: Place) -> None:
    with pytest.raises(
        DataError, match="vLLM refuses the question: The prompt is longer than the maximum model length"
    ):
        place.generator.generate([ask(), ask("long " * 200)])
    assert not place.engine.open


def test_nothing_is_left_in_an_engine_that_failed(place: Place) -> None:
    place.engine.dies = True
    with pytest.raises(RuntimeError, match="EngineCore"):
        place.generator.generate([ask(), ask()])
    assert not place.engine.open


def test_what_comes_after_the_end_of_an_answer_is_not_written(place: Place) -> None:
    place.generator.attach("a", Path("/a"))
    (found,) = place.generator.generate([ask(adapter="a")])
    ((_, written),) = place.engine.written.items()
    assert found.finished and found.num_tokens == len(written) and len(place.engine.aborted) == 1


def test_an_adapter_under_a_name_of_before_is_another_one_to_vllm(place: Place) -> None:
    """It remembers a prefix by the name of the adapter that read it."""
    place.generator.attach("a", Path("/a"))
    place.generator.generate([ask(adapter="a")])
    place.generator.detach("a")
    place.generator.attach("a", Path("/a"))
    place.generator.generate([ask(adapter="a")])
    names = [lora.lora_name for _, _, lora in place.engine.given.values()]
    assert len(set(names)) == 2


def test_the_regime_guided_is_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match="another regime than guided"):
        place.generator.with_inference(InferenceConfig(execution_guided=3))


def test_adapters_come_and_go(place: Place) -> None:
    place.generator.attach("a", Path("/a"))
    assert list(place.engine.loras.values()) == ["/a"]
    place.generator.detach("a")
    assert not place.engine.loras
    with pytest.raises(AdapterError, match="no adapter 'a'"):
        place.generator.generate([ask(adapter="a")])
    with pytest.raises(AdapterError, match="vLLM refuses it: is not supported"):
        place.generator.attach("c", Path("/broken"))


def test_a_rank_above_the_room_is_refused(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"peft_type": "LORA", "r": 128, "lora_alpha": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr("t2s.model.adapter.read_manifest", lambda directory: {})
    monkeypatch.setattr("t2s.model.adapter.check_fits", lambda *given: None)
    with pytest.raises(AdapterError, match="rank 128, and serve"):
        place.generator.read_adapter(tmp_path)


def test_the_engine_starts_with_room_for_the_adapters_and_their_successor(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr("t2s.model.base.find_base", lambda config: FILES)
    monkeypatch.setattr("t2s.model.load.load_tokenizer", lambda files: place.engine.tokenizer)
    config = load([], [*GPU, "serve.adapters={small: '3'}", "training.precision=fp32"])
    assert vllm.load_generator(config, None).generate([ask()])[0].finished
    expected = {"model": "/base", "dtype": "float32", "enable_lora": True, "max_loras": 3, "max_lora_rank": 64}
    assert place.started | expected == place.started
    assert place.started["tokenizer_mode"] == "hf"
    assert place.started["structured_outputs_config"] == {"backend": "guidance"}
