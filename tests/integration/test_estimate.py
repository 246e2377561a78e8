"""The estimate of a training, against what the same training's own tensors take; and the choice that hangs on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import tiny_texts, tiny_trainer
from transformers import AutoConfig, BloomConfig, FalconConfig, GPT2Config, GPTNeoConfig, PreTrainedConfig, Qwen2Config

from t2s.cli.main import run
from t2s.config import Config, LoraConfig, load
from t2s.errors import ConfigError, SetupError
from t2s.model.base import BaseFiles, find_base
from t2s.model.load import load_base, load_tokenizer
from t2s.model.precision import pick_device, resolve_precision
from t2s.model.skeleton import build_skeleton, count_trainable
from t2s.train.estimate import Estimate, estimate, measure_batches, settle_checkpointing
from t2s.train.place import Place, look
from t2s.train.saved import Uncountable, count_saved

PLACE = Place("cpu", "1 CPU(s)", 10**9, "fp32", 50e9)
Settings = Callable[..., Config]


@pytest.fixture
def settings(tiny_overrides: Callable[[Path], list[str]], tmp_path: Path) -> Settings:
    return lambda *more: load([], [*tiny_overrides(tmp_path), *more])


def saved_by(trainer: Any, batch: dict[str, torch.Tensor]) -> int:
    """Bytes that a real forward pass keeps, by autograd's own hooks; parameters left out."""
    known = {p.untyped_storage().data_ptr() for p in (*trainer.model.parameters(), *trainer.model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    trainer.model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.compute_loss(trainer.model, batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("option", ["lora.dropout=0.0", "lora.dropout=0.1", "lora.use_dora=true", "lora.r=64"])
@pytest.mark.parametrize("tables", [False, True])
def test_counted_activations_are_those_that_a_step_keeps(
    settings: Settings, tmp_path: Path, option: str, tables: bool
) -> None:
    config = settings("quantization.load_in_4bit=false", option)
    texts = tiny_texts(load_tokenizer(find_base(config.model)), tables)
    trainer = tiny_trainer(config, tmp_path, texts)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(0, 32, 4)])
    shape, labels = batch["input_ids"].shape, int((batch["labels"][:, 1:] != -100).sum())
    saved = count_saved(find_base(config.model), config.lora, torch.float32, (shape[0], shape[1]), labels)
    assert saved.outside + 2 * saved.a_layer == pytest.approx(saved_by(trainer, batch), rel=0.08)


def test_weights_and_parameters_are_those_of_the_loaded_model(settings: Settings) -> None:
    for form in ("true", "false"):
        config = settings(f"quantization.load_in_4bit={form}")
        model, tokenizer, _ = load_base(config, for_training=True)
        found = estimate(config, tiny_texts(tokenizer), Place("cuda", "GPU", 10**9, "fp32", 50e9))
        held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
        assert found.weights == pytest.approx(sum(held.values()), rel=0.03)
    assert found.parameters == sum(p.numel() for p in model.parameters())


def test_batches_are_counted_as_they_are_drawn(settings: Settings, tmp_path: Path) -> None:
    config = settings("training.questions_per_row=4", "training.batch_size=6", "training.gradient_accumulation_steps=2")
    texts = tiny_texts(load_tokenizer(find_base(config.model)), tables=True)
    trainer = tiny_trainer(config, tmp_path, texts)
    trainer.args.seed = config.seed
    drawn = list(trainer.get_train_dataloader())
    found = measure_batches(config, texts)
    assert found.tokens == sum(batch["input_ids"].numel() for batch in drawn)
    assert found.num_labels == sum(int((batch["labels"] != -100).sum()) for batch in drawn)
    assert found.largest == max((tuple(b["input_ids"].shape) for b in drawn), key=lambda s: s[0] * s[1])


def test_more_work_takes_more_time_and_memory(settings: Settings) -> None:
    def of(*words: str) -> Estimate:
        config = settings(*words)
        return estimate(config, tiny_texts(load_tokenizer(find_base(config.model))), PLACE)

    plain = of()
    assert of("training.epochs=3").seconds == pytest.approx(3 * plain.seconds, rel=0.01)
    assert of("training.batch_size=16").memory(False) > plain.memory(False) >= plain.memory(True)
    assert of("training.gradient_checkpointing=true").seconds > 1.2 * plain.seconds
    assert of("lora.r=64").trainable == 4 * plain.trainable and of("lora.r=64").adapter > 3 * plain.adapter
    two = of("training.num_workers=2", "training.batch_size=4")
    assert two.steps == plain.steps and two.seconds == pytest.approx(plain.seconds / 2, rel=0.1)


@pytest.mark.parametrize(
    ("wanted", "memory", "on", "said"),
    [
        ("auto", 10**12, False, r"available on .*: off$"),
        ("auto", 10**6, True, r"available on .*: on; it may run out: lower training\.batch_size"),
        ("false", 10**6, False, r": off, as training\.gradient_checkpointing says; it may run out"),
        ("true", 10**12, True, r": on, as training\.gradient_checkpointing says$"),
    ],
)
def test_checkpointing_is_on_only_if_memory_asks_for_it(
    settings: Settings, wanted: str, memory: int, on: bool, said: str
) -> None:
    config = settings(f"training.gradient_checkpointing={wanted}")
    place = Place("cpu", "1 CPU(s)", memory, "fp32", 50e9)
    found = estimate(config, tiny_texts(load_tokenizer(find_base(config.model))), place)
    decided, why = settle_checkpointing(config, found, place)
    assert decided.training.gradient_checkpointing is on
    assert re.search(said, why) and f"{found.memory(False) / 1e9:.1f} GB" in why


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_other_architectures_are_counted_too(tmp_path: Path, kind: str) -> None:
    shapes: dict[str, Any] = {
        "gpt2": GPT2Config(n_layer=3, n_embd=64, n_head=4, vocab_size=300),
        "qwen2": Qwen2Config(
            num_hidden_layers=3, hidden_size=64, intermediate_size=96, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=300,
        ),
    }  # fmt: skip
    shapes[kind].save_pretrained(tmp_path)
    files = BaseFiles(kind, tmp_path, None, "x")
    assert AutoConfig.from_pretrained(tmp_path).num_hidden_layers == 3
    lora = LoraConfig(target_modules="all-linear", r=4)
    saved = count_saved(files, lora, torch.float32, (2, 16), 8)
    assert saved.a_layer > saved.a_border == 2 * 16 * 64 * 4
    assert count_trainable(build_skeleton(files), lora) > 0
    with pytest.raises(ConfigError, match="no layer x_proj"):
        count_trainable(build_skeleton(files), LoraConfig(target_modules=["x_proj"]))


def fake_gpu(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    """A GPU of compute capability ``major``.5, as torch would tell of it."""

    class Properties:
        def __init__(self) -> None:
            self.major, self.minor = major, 5

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: Properties())


@pytest.mark.parametrize(
    ("major", "wanted", "expected"),
    [(7, "auto", "fp16"), (8, "auto", "bf16"), (9, "auto", "bf16"), (7, "fp32", "fp32"), (7, "fp16", "fp16")],
)
def test_precision_follows_the_gpu(monkeypatch: pytest.MonkeyPatch, major: int, wanted: str, expected: str) -> None:
    fake_gpu(monkeypatch, major)
    device = pick_device("auto")
    assert device.type == "cuda" and resolve_precision(wanted, device) == expected
    assert pick_device(False).type == "cpu"


def test_precision_that_a_device_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == "fp32"
    for wanted in ("bf16", "fp16"):
        with pytest.raises(SetupError, match=r"set training\.precision=auto"):
            resolve_precision(wanted, cpu)
    fake_gpu(monkeypatch, 7)
    with pytest.raises(SetupError, match=r"training\.precision=bf16 needs a GPU that has it"):
        resolve_precision("bf16", torch.device("cuda"))


def test_a_place_is_measured(settings: Settings) -> None:
    here = look(settings("training.num_workers=2"))
    assert here.device == "cpu" and here.precision == "fp32" and here.flops > 1e8
    assert 0 < here.memory <= look(settings()).memory * 0.75


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny_overrides(tmp_path / "out"), "training.num_workers=2", "training.batch_size=4"]
    assert run(["train", "--dry-run", *words]) == 0
    printed = capsys.readouterr().out
    for part in ("num_workers: 2", "# parameters", "trainable", "# steps          8 of 8", "# memory", "# time"):
        assert part in printed
    assert "# launch         2 worker(s) of 1 CPU on a local Ray" in printed
    assert not (tmp_path / "out").exists()
    import ray

    assert not ray.is_initialized()
    assert run(["train", "--dry-run", *words, "lora.target_modules=[q_prj]"]) == 2
    assert "did you mean 'q_proj'" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["[3, 2]", "[1]", "[1, 2, 3]", "0"])
def test_a_wrong_range_of_workers_is_refused(workers: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.num_workers"):
        load([], [f"training.num_workers={workers}"])


WITH_THEIR_OWN_ATTENTION = [
    BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=2),
    FalconConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2),
    GPTNeoConfig(vocab_size=64, hidden_size=32, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]]),
]


@pytest.mark.parametrize("base", WITH_THEIR_OWN_ATTENTION, ids=lambda base: base.model_type)
def test_an_architecture_that_cannot_be_counted_is_named_with_the_cure(tmp_path: Path, base: PreTrainedConfig) -> None:
    base.save_pretrained(tmp_path)
    lora = LoraConfig(target_modules="all-linear")
    with pytest.raises(Uncountable, match=r"set training\.gradient_checkpointing to true or false"):
        count_saved(BaseFiles("other", tmp_path, None, "0"), lora, torch.float32, (2, 8), labels=4)
