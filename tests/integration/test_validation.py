"""Validation inside a training, without Ray: exact losses, answers that count, the best adapter, an early end."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import tiny_trainer

from t2s.config import Config, load
from t2s.errors import DataError
from t2s.evaluate.score import Scorer
from t2s.generate import load_generator
from t2s.generate.core import Request
from t2s.model.adapter import read_manifest
from t2s.model.decoded import decoded
from t2s.model.load import load_base
from t2s.track.files import write_run_files
from t2s.train.harness import Alone
from t2s.train.launch import prepare_texts
from t2s.train.loop import train_here
from t2s.train.measure import measure_execution
from t2s.train.record import write_record

Settings = Callable[..., Config]


@pytest.fixture
def settings(people_overrides: Callable[[Path], list[str]], tmp_path: Path) -> Settings:
    return lambda *more: load([], [*people_overrides(tmp_path), *more])


def train(config: Config, run_dir: Path) -> dict[str, float]:
    """One training in ``run_dir``, which may hold checkpoints."""
    texts, about = prepare_texts(config)
    if not run_dir.exists():
        run_dir.mkdir()
        write_run_files(run_dir, config)
        write_record(run_dir, config, "examples", "base")
    given = {"config": config, "texts": texts, "about": about, "run_dir": run_dir, "name": "k"}
    return train_here(given | {"journal": None, "stop_board": None}, Alone())


def history(run_dir: Path) -> list[dict[str, Any]]:
    """What the newest checkpoint knows of the validations."""
    newest = max((run_dir / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    rows = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return [row for row in rows if "eval_loss" in row]


def test_the_loss_is_the_mean_over_all_labels_whatever_the_batches(settings: Settings, tmp_path: Path) -> None:
    found = []
    for size, shared in ((3, 1), (16, 4)):
        config = settings(
            f"inference.batch_size={size}", "training.batch_size=3", f"training.questions_per_row={shared}"
        )
        trainer = tiny_trainer(config, tmp_path / str(size))
        found.append(trainer.evaluate()["eval_loss"])
    total = labels = 0.0
    for feature in trainer.eval_dataset:
        batch = trainer.data_collator([feature])
        count = int((batch["labels"][:, 1:] != -100).sum())
        with torch.no_grad():
            total += float(trainer.compute_loss(trainer.model.eval(), batch)) * count
        labels += count
    assert found == pytest.approx([total / labels] * 2, rel=1e-6)


def test_validations_do_not_move_the_training(settings: Settings, tmp_path: Path) -> None:
    dropout = ("lora.dropout=0.2", "training.epochs=2", "training.metric_for_best=eval_ex")
    busy = train(settings(*dropout, "training.eval_ex_samples=4"), tmp_path / "busy")
    calm = train(settings("lora.dropout=0.2", "training.epochs=2", "training.eval_steps=null"), tmp_path / "calm")
    assert busy["train_loss"] == calm["train_loss"]


def test_what_training_measures_is_what_evaluation_says_of_the_adapter(settings: Settings, tmp_path: Path) -> None:
    config = settings("training.eval_ex_samples=12", "training.gradient_checkpointing=true")
    metrics = train(config, tmp_path / "k")
    questions = prepare_texts(config)[0].questions
    answers = load_generator(config, tmp_path / "k" / "adapter").generate(
        [Request(e.question, e.schema) for e in questions]
    )
    with Scorer() as scorer:
        right = [scorer.score(e, answer.sql).ex for e, answer in zip(questions, answers, strict=True)]
    assert 0 < sum(map(bool, right)) < 12, "all alike would prove nothing"
    assert (metrics["eval_ex"], metrics["eval_ex_n"]) == (sum(map(bool, right)) / 12, 12)
    assert metrics["eval_ex_low"] < metrics["eval_ex"] < metrics["eval_ex_high"] and "best_step" not in metrics


def test_the_best_by_accuracy_ends_the_run_early_and_is_its_adapter(settings: Settings, tmp_path: Path) -> None:
    config = settings(
        "training.eval_ex_samples=12", "training.metric_for_best=eval_ex", "training.early_stopping_patience=2"
    )
    run_dir = tmp_path / "k"
    metrics = train(config, run_dir)
    best, last = int(metrics["best_step"]), int(metrics["step"])
    assert metrics["stopped_early"] and last == best + 6 < 24 and metrics["eval_ex"] > 0
    assert read_manifest(run_dir / "adapter")["steps"] == best
    assert_is_adapter_of(run_dir, best)
    # Killed before the adapter was there, with the checkpoints after the best one gone or not: the same end.
    for gone in ([], [path for path in (run_dir / "checkpoints").iterdir() if int(path.name[5:]) > best]):
        for path in (run_dir / "adapter", *gone):
            shutil.rmtree(path)
        again = train(config, run_dir)
        same = ("step", "best_step", "stopped_early", "eval_ex", "eval_loss")
        assert {name: again[name] for name in same} == {name: metrics[name] for name in same}
        assert_is_adapter_of(run_dir, best)


def test_the_best_by_loss_is_kept_though_training_goes_on(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings("training.metric_for_best=eval_loss", "training.save_steps=6")
    run_dir = tmp_path / "k"
    metrics = train(config, run_dir)
    losses = {row["step"]: row["eval_loss"] for row in history(run_dir)}
    best = min(losses, key=lambda step: losses[step])
    assert best < 18 and metrics["step"] == 24, "the best must be older than the checkpoints that stay anyway"
    assert metrics["best_step"] == best and metrics["eval_loss"] == losses[best]
    assert_is_adapter_of(run_dir, best)

    weights = run_dir / "checkpoints" / f"step-{best}" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    shutil.rmtree(run_dir / "adapter")
    with caplog.at_level(logging.WARNING):
        again = train(config, run_dir)
    assert f"the best adapter, of step {best}, is damaged" in caplog.text and str(weights) in caplog.text
    assert again["best_step"] == 24 and read_manifest(run_dir / "adapter")["steps"] == 24
    assert_is_adapter_of(run_dir, 24)


def assert_is_adapter_of(run_dir: Path, step: int) -> None:
    saved = load_file(run_dir / "checkpoints" / f"step-{step}" / "adapter.safetensors")
    final = load_file(run_dir / "adapter" / "adapter_model.safetensors")
    assert len(saved) == len(final)
    for name, tensor in final.items():
        whole = name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
        assert torch.equal(tensor, saved[whole]), name


def test_decoded_weights_compute_the_same_and_are_gone_afterwards(settings: Settings) -> None:
    model, tokenizer, _ = load_base(settings(), for_training=True)
    ids = tokenizer([" SELECT name FROM people"], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        packed = model(ids).logits
        with decoded(model, 1 << 30) as done:
            assert done and "forward" in vars(model.model.layers[0].mlp.up_proj)
            assert torch.equal(model(ids).logits, packed)
        assert "forward" not in vars(model.model.layers[0].mlp.up_proj)
        with decoded(model, 1000) as done:
            assert not done, "a thousand bytes are too few"


def test_golds_that_cannot_be_executed_do_not_count_as_wrong(settings: Settings, people: Path, tmp_path: Path) -> None:
    config = settings("training.eval_ex_samples=4")
    model, tokenizer, _ = load_base(config, for_training=True)
    questions = prepare_texts(config)[0].questions
    from dataclasses import replace

    broken = [replace(example, sql="SELECT nobody FROM nothing") for example in questions]
    assert measure_execution(model, tokenizer, config, [*questions, *broken]).n == 4
    with pytest.raises(Exception, match="can be executed") as caught:
        measure_execution(model, tokenizer, config, broken)
    assert isinstance(caught.value.error, DataError)  # type: ignore[attr-defined]
