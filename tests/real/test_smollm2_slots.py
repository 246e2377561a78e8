"""The invariant of slots on the pretrained SmolLM2-135M: three unlike settings, one of which joins mid-flight."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import losses, tiny_trainer

from t2s.config import Config, load
from t2s.errors import SetupError
from t2s.model.base import find_base
from t2s.search.ladder import Ladder
from t2s.search.slots.engine import SlotEngine
from t2s.train.launch import prepare_texts

pytestmark = pytest.mark.real

STEPS = 2


def settings(folder: Path, *more: str) -> Config:
    common = ["model.name=HuggingFaceTB/SmolLM2-135M-Instruct", f"data.cache_dir={folder}"]
    common += ["data.pipeline=synthetic", "data.options={num_train: 6, num_val: 1, num_test: 1}"]
    common += ["training.batch_size=1", "training.gradient_accumulation_steps=1", f"training.max_steps={STEPS}"]
    common += ["training.logging_steps=1", "training.use_gpu=false", "lora.dropout=0.0", "lora.init=default"]
    return load([], [*common, "quantization.load_in_4bit=false", *more])


def test_three_slots_have_the_losses_of_three_trainings(tmp_path: Path) -> None:
    configs = {
        "a": settings(tmp_path, "training.learning_rate=1e-3"),
        "b": settings(tmp_path, "lora.r=4", "lora.alpha=16", "training.learning_rate=3e-3", "training.batch_size=2"),
        "late": settings(tmp_path, "lora.r=32", "training.lr_scheduler=linear"),
    }
    try:
        find_base(configs["a"].model)
    except SetupError as error:
        pytest.skip(str(error))  # says how to get the model
    texts, _ = prepare_texts(configs["a"])
    engine = SlotEngine(configs["a"], texts, Ladder(1, 0), capacity=3)
    engine.open("a", configs["a"])
    engine.open("b", configs["b"])
    engine.step()
    engine.open("late", configs["late"])
    while engine.running:
        engine.step()
    for key, config in configs.items():
        expected = losses(tiny_trainer(config, tmp_path / key, texts))
        assert len(expected) == STEPS and engine.losses(key) == pytest.approx(expected, abs=1e-5)
