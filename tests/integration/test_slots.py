"""The invariant of slots: an adapter trained among others is the adapter that ``t2s train`` makes of the setting."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_model import losses, save_tokenizer, tiny_texts, tiny_trainer
from transformers import AutoConfig, AutoModelForCausalLM, set_seed

from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.errors import ConfigError, RunError
from t2s.model.adapter import load_adapter, save_adapter
from t2s.model.base import find_base
from t2s.model.load import load_base, load_tokenizer
from t2s.search.ladder import Ladder
from t2s.search.slots.engine import Rung, SlotEngine, SlotsFull
from t2s.train.measure import measure_execution
from t2s.train.texts import TrainingTexts, build_texts

Settings = Callable[..., Config]
FULL = "quantization.load_in_4bit=false"
DROPOUT = ("lora.dropout=0.3", "training.batch_size=4", "training.gradient_accumulation_steps=2")
CAPACITY = 4


@pytest.fixture(scope="module")
def settings(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Short trainings of three rungs, each of two steps, on full weights unless something else is said."""
    folder = tmp_path_factory.mktemp("slots")
    common = [*tiny_overrides(folder), FULL, "training.epochs=99", "training.max_steps=6", "training.eval_steps=2"]
    return lambda *more: load([], [*common, *more])


@pytest.fixture(scope="module")
def texts(settings: Settings) -> TrainingTexts:
    return texts_of(settings())


def texts_of(config: Config) -> TrainingTexts:
    return tiny_texts(load_tokenizer(find_base(config.model)), tables=True)


@pytest.fixture(scope="module")
def engine(settings: Settings, texts: TrainingTexts) -> SlotEngine:
    """One for the whole file: every test leaves it empty, and none may notice the others."""
    return SlotEngine(settings(), texts, Ladder(3, 0), capacity=CAPACITY)


@pytest.fixture(scope="module")
def alone(texts: TrainingTexts, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Config], dict[str, list[float]]]:
    """What ``t2s train`` logs for a setting: the loss of every step, and the validation loss of every rung."""

    @functools.cache
    def train(dumped: str) -> dict[str, list[float]]:
        return train_alone(Config.model_validate_json(dumped), texts, tmp_path_factory.mktemp("alone"))

    return lambda config: train(config.model_dump_json())


def train_alone(config: Config, texts: TrainingTexts, folder: Path) -> dict[str, list[float]]:
    trainer = tiny_trainer(config, folder, texts)
    found = losses(trainer)
    return {"loss": found, "eval_loss": [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]}


def run(engine: SlotEngine, entries: dict[str, tuple[int, Config]], leaves: dict[str, int] | None = None) -> Any:
    """Train; each key joins at its pass (or when a slot is free) and leaves after a rung. Losses and rungs by key."""
    waiting, found, passes = dict(entries), {key: {"loss": [], "eval_loss": [], "error": []} for key in entries}, 0
    while waiting or engine.running:
        for key, (at, config) in list(waiting.items()):
            if at <= passes and engine.free:
                engine.open(key, config)
                del waiting[key]
        for rung in engine.step():
            note(engine, rung, found[rung.key], (leaves or {}).get(rung.key, 3))
        passes += 1
    return found


def note(engine: SlotEngine, rung: Rung, found: dict[str, list[Any]], leaves: int) -> None:
    if rung.error:
        found["error"].append(rung.error)
        return
    found["eval_loss"].append(rung.metrics["eval_loss"])
    found["loss"] = engine.losses(rung.key)
    if rung.rung >= leaves:
        engine.close(rung.key)
    else:
        engine.proceed(rung.key)


def check(found: dict[str, list[float]], expected: dict[str, list[float]], tolerance: float = 1e-5) -> None:
    """A slot that left early has the beginning of the losses."""
    for name in ("loss", "eval_loss"):
        assert found[name] and not found.get("error")
        assert found[name] == pytest.approx(expected[name][: len(found[name])], abs=tolerance), name


Drawn = st.fixed_dictionaries(
    {
        "lora.r": st.sampled_from([1, 4, 16]),
        "lora.alpha": st.sampled_from([4, 32]),
        "lora.use_rslora": st.booleans(),
        "lora.target_modules": st.sampled_from(["all-linear", "[q_proj, v_proj]"]),
        "training.learning_rate": st.sampled_from([1e-3, 5e-3]),
        "training.lr_scheduler": st.sampled_from(["cosine", "linear", "constant_with_warmup"]),
        "training.weight_decay": st.sampled_from([0.0, 0.1]),
        "training.max_grad_norm": st.sampled_from([0.3, 5.0]),
        "training.batch_size": st.sampled_from([3, 8, 16]),
        "training.gradient_accumulation_steps": st.sampled_from([1, 2]),
        "training.eval_steps": st.sampled_from([2, "[1, 3, 6]"]),
        "seed": st.sampled_from([0, 1]),
    }
)
Entry = st.tuples(Drawn, st.integers(0, 7), st.integers(1, 3))


@given(st.lists(Entry, min_size=2, max_size=6))
@budget(
    max_examples=int(os.environ.get("T2S_SLOT_EXAMPLES", "6")), suppress_health_check=list(HealthCheck), database=None
)
def test_a_slot_takes_the_steps_of_a_training_of_its_own_whoever_its_neighbours_are(
    engine: SlotEngine, settings: Settings, alone: Callable[[Config], Any], drawn: list[tuple[dict[str, Any], int, int]]
) -> None:
    configs = [settings(*(f"{name}={value}" for name, value in one.items())) for one, _, _ in drawn]
    entries = {str(at): (joins, config) for at, ((_, joins, _), config) in enumerate(zip(drawn, configs, strict=True))}
    found = run(engine, entries, {str(at): leaves for at, (_, _, leaves) in enumerate(drawn)})
    for at, config in enumerate(configs):
        check(found[str(at)], alone(config))


def three(settings: Settings, *more: str) -> dict[str, tuple[int, Config]]:
    """Three unlike settings that join one after the other."""
    unlike = (
        ("lora.r=8", "training.batch_size=8"),
        ("lora.r=4", "lora.alpha=32", "training.batch_size=4", "training.gradient_accumulation_steps=3"),
        ("lora.r=16", "training.learning_rate=1e-2", "training.batch_size=5", "training.lr_scheduler=linear"),
    )
    return {str(at): (3 * at, settings(*one, *more)) for at, one in enumerate(unlike)}


def test_so_it_is_on_a_4_bit_base(settings: Settings, texts: TrainingTexts, alone: Callable[[Config], Any]) -> None:
    entries = three(settings, "quantization.load_in_4bit=true")
    found = run(SlotEngine(entries["0"][1], texts, Ladder(3, 0), capacity=3), entries)
    for key, (_, config) in entries.items():
        check(found[key], alone(config))


def test_so_it_is_with_gradient_checkpointing(
    settings: Settings, texts: TrainingTexts, alone: Callable[[Config], Any]
) -> None:
    entries = three(settings, "training.gradient_checkpointing=true")
    found = run(SlotEngine(entries["0"][1], texts, Ladder(3, 0), capacity=3), entries)
    for key, (_, config) in three(settings).items():
        check(found[key], alone(config))


def test_so_it_is_where_batches_are_padded_to_one_length(
    engine: SlotEngine, settings: Settings, alone: Callable[[Config], Any]
) -> None:
    engine.packer.is_flat = False
    try:
        found = run(engine, three(settings))
    finally:
        engine.packer.is_flat = True
    for key, (_, config) in three(settings).items():
        check(found[key], alone(config))


QUIET = dict.fromkeys(("attention_dropout", "embed_dropout", "resid_dropout"), 0.0)
ARCHITECTURES = {
    "mistral": {"sliding_window": 24, "num_key_value_heads": 2, "intermediate_size": 128},
    "qwen2": {"num_key_value_heads": 2, "intermediate_size": 128},
    "gpt2": {"n_inner": 128},
    "gptj": {"n_inner": 128, "rotary_dim": 8},
    "gpt_neo": {"intermediate_size": 128, "attention_types": [[["global", "local"], 1]], "window_size": 24} | QUIET,
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_so_it_is_on_other_architectures(settings: Settings, texts: TrainingTexts, tmp_path: Path, kind: str) -> None:
    model = f"model.name={save_other(tmp_path / kind, kind)}"
    config = settings(model)
    entries = three(lambda *more: settings(model, *more))
    engine = SlotEngine(config, texts, Ladder(3, 0), capacity=3)
    if kind != "gptj":  # its attention was its own before transformers 5.24
        assert engine.packer.is_flat == (kind != "gpt_neo")
    found = run(engine, entries)
    for key, (_, short) in entries.items():
        check(found[key], train_alone(short, texts, tmp_path / key))


def save_other(directory: Path, kind: str) -> Path:
    """A random model of another architecture, without dropout of its own."""
    from tiny_model import fixed_texts

    tokenizer = save_tokenizer(directory, (prompt + completion for prompt, completion in fixed_texts()))
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}
    shape |= {"initializer_range": 0.2}  # else an untrained model says the same whatever it sees
    dropouts = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **shape, **dropouts, **ends, **ARCHITECTURES[kind])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    return directory


def test_dropout_is_drawn_for_each_slot_alone(engine: SlotEngine, settings: Settings) -> None:
    config = settings(*DROPOUT)
    by_itself = run(engine, {"a": (0, config)})["a"]["loss"]
    set_seed(7)  # nor does the process's own randomness matter
    among = run(engine, {"b": (2, settings(*DROPOUT, "lora.r=4")), "a": (3, config)})["a"]["loss"]
    without = run(engine, {"a": (0, settings(*DROPOUT[1:]))})["a"]["loss"]
    assert among == pytest.approx(by_itself, abs=1e-5)
    assert by_itself[0] == pytest.approx(without[0], abs=1e-5), "B begins as zero: dropout changes nothing yet"
    assert abs(by_itself[1] - without[1]) > 1e-3, "no dropout: the test would prove nothing"


def test_a_resumed_slot_takes_the_same_steps(engine: SlotEngine, settings: Settings, tmp_path: Path) -> None:
    config = settings(*DROPOUT)
    engine.open("a", config)
    rungs: list[Rung] = []
    while len(rungs) < 3:
        for rung in engine.step():
            rungs.append(rung)
            engine.save("a", tmp_path)
            engine.proceed("a")
    expected = engine.losses("a")
    engine.close("a")
    for done in (1, 2):
        engine.open("b", config, resume=tmp_path / f"step-{2 * done}")
        again = []
        while len(again) < 3 - done:
            again += engine.step()
            engine.proceed("b")
        assert engine.losses("b") == expected
        for rung, one in zip(rungs[done:], again, strict=True):
            same = ("eval_loss", "train_loss", "examples")
            assert [rung.metrics[name] for name in same] == [one.metrics[name] for name in same]
        engine.close("b")


def test_a_checkpoint_that_is_damaged_or_of_another_setting_is_refused(
    engine: SlotEngine, settings: Settings, tmp_path: Path
) -> None:
    engine.open("a", settings())
    saved = engine.save("a", tmp_path)
    engine.close("a")
    with pytest.raises(RunError, match="another setting"):
        engine.open("b", settings("training.learning_rate=1e-3"), resume=saved)
    with (saved / "adapter.safetensors").open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\x01\x02\x03\x04")
    with pytest.raises(RunError, match="SHA-256 differs"):
        engine.open("b", settings(), resume=saved)
    assert engine.free == CAPACITY


@pytest.mark.parametrize(("alpha", "what"), [("1e20", "the loss is nan"), ("1e30", "the gradient is no number")])
def test_a_slot_that_is_no_number_ends_alone_and_names_its_examples(
    engine: SlotEngine, settings: Settings, alone: Callable[[Config], Any], alpha: str, what: str
) -> None:
    bad = settings(f"lora.alpha={alpha}", "training.max_grad_norm=1e30", "training.learning_rate=1")
    good = settings("lora.r=4")
    found = run(engine, {"good": (0, good), "bad": (1, bad)})
    (error,) = found["bad"]["error"]
    assert what in error and "QUESTION:" in error and "\n" not in error
    check(found["good"], alone(good), tolerance=1e-6)
    assert engine.free == CAPACITY


def test_slots_come_and_go_on_one_base_that_stays_as_it_was(engine: SlotEngine, settings: Settings) -> None:
    before = {name: tensor.clone() for name, tensor in engine.base.state_dict().items()}
    for number in range(CAPACITY):
        engine.open(str(number), settings(f"lora.r={2 * number + 1}"))
    with pytest.raises(SlotsFull, match="all 4 are taken"):
        engine.open("more", settings())
    engine.step()
    for number in range(CAPACITY):
        engine.close(str(number))
    engine.close("unknown")
    after = engine.base.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in engine.base.parameters())
    assert engine.step() == [] and engine.running == [] and engine.free == CAPACITY


def test_opening_a_slot_leaves_the_random_numbers_of_the_process(engine: SlotEngine, settings: Settings) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    engine.open("a", settings())
    engine.close("a")
    assert torch.equal(torch.rand(4), expected)


def test_an_exported_adapter_is_the_one_that_a_training_saves(
    engine: SlotEngine, settings: Settings, texts: TrainingTexts, tmp_path: Path
) -> None:
    config = settings("lora.r=8", "lora.target_modules=[q_proj, down_proj]")
    engine.open("a", config)
    while len(engine.losses("a")) < 6:
        for rung in engine.step():
            if rung.rung < 3:
                engine.proceed("a")
    engine.export("a", tmp_path / "slot", {"run": "r"})
    engine.close("a")
    trainer = tiny_trainer(config, tmp_path / "out", texts)
    trainer.train()
    save_adapter(trainer.model, tmp_path / "alone", engine.files, config.prompt, {})
    ours, theirs = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("slot", "alone"))
    assert ours.keys() == theirs.keys()
    for name, matrix in ours.items():
        torch.testing.assert_close(matrix, theirs[name], rtol=0, atol=1e-4)
    settings_ = [(tmp_path / name / "adapter_config.json").read_bytes() for name in ("slot", "alone")]
    assert settings_[0] == settings_[1]
    model, _, files = load_base(config, for_training=False)
    load_adapter(model, tmp_path / "slot", files, config.prompt)


def test_questions_get_the_answers_of_the_same_adapter_by_itself(settings: Settings, tmp_path: Path) -> None:
    config = settings("quantization.load_in_4bit=true", "training.learning_rate=1e-2", "training.max_steps=40")
    config = load_like(config, "training.eval_steps", 20)
    train, val, _ = build_pipeline(config.data).prepare()
    tokenizer = load_tokenizer(find_base(config.model))
    texts = replace(build_texts(config, train, val, tokenizer), questions=list(val))
    engine = SlotEngine(config, texts, Ladder(2, 1), capacity=2)
    engine.open("a", config)
    engine.open("b", config)  # its neighbour has another adapter
    rungs: list[Rung] = []
    while not any(rung.key == "a" and rung.rung == 2 for rung in rungs):
        rungs += (new := engine.step())
        for rung in new:
            engine.proceed(rung.key)
        if new:
            engine.close("b")
    first, last = (rung.metrics for rung in rungs if rung.key == "a")
    assert "eval_ex" not in first and last["eval_ex_n"] == len(val) and last["latency_s"] > 0
    engine.export("a", tmp_path / "adapter", {})
    base, _, files = load_base(config, for_training=True)
    adapted = load_adapter(base, tmp_path / "adapter", files, config.prompt)
    expected = measure_execution(adapted, tokenizer, config, list(val))
    assert last["eval_ex"] == expected.right / expected.n
    assert engine.ask("a", list(val)) == expected


def load_like(config: Config, key: str, value: Any) -> Config:
    section, name = key.split(".")
    changed = getattr(config, section).model_copy(update={name: value})
    return config.model_copy(update={section: changed})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.use_dora=true", "lora.use_dora=true.*search.mode=workers"),
        ("lora.init=pissa", "lora.init=pissa.*search.mode=workers"),
        ("lora.target_modules=[q_proj, embed_tokens]", "no embed_tokens.*search.mode=workers"),
        ("lora.target_modules=[lm_head]", "no lm_head.*search.mode=workers"),
        ("lora.target_modules=[q_prj]", "no layer q_prj"),
    ],
)
def test_what_a_slot_cannot_hold_is_refused_and_takes_no_slot(
    engine: SlotEngine, settings: Settings, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        engine.open("a", settings(override))
    assert engine.free == CAPACITY


@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
def test_other_beginnings_are_those_of_a_training(
    engine: SlotEngine, settings: Settings, alone: Callable[[Config], Any], init: str
) -> None:
    config = settings(f"lora.init={init}", "lora.r=4")
    check(run(engine, {"a": (0, config)})["a"], alone(config))


def test_more_slots_than_memory_are_refused_in_one_line(settings: Settings, texts: TrainingTexts) -> None:
    with pytest.raises(ConfigError, match=r"search.slots=1000000 needs about .* GB, .* GB are available: at most \d+"):
        SlotEngine(settings("search.slots=1000000"), texts, Ladder(3, 0))


def test_costs_are_shared_out_and_add_up(engine: SlotEngine, settings: Settings) -> None:
    engine.open("small", settings("training.batch_size=4"))
    engine.open("large", settings("training.batch_size=16"))
    rungs: list[Rung] = []
    while len(rungs) < 2:
        rungs += engine.step()
    small, large = (next(rung.metrics for rung in rungs if rung.key == key) for key in ("small", "large"))
    assert small["examples"] == 8 and large["examples"] == 32
    assert 0 < small["wall_s"] < large["wall_s"] and all(math.isfinite(value) for value in large.values())
    engine.close("small")
    engine.close("large")
