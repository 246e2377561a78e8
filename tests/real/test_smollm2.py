"""The pretrained SmolLM2-135M learns the task: twelve steps on generated questions, 4-bit base, about a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import losses, tiny_trainer

from t2s.config import Config, load
from t2s.errors import SetupError
from t2s.model.base import find_base
from t2s.train.launch import prepare_texts

pytestmark = pytest.mark.real


@pytest.fixture
def config(tmp_path: Path) -> Config:
    settings = ["model.name=HuggingFaceTB/SmolLM2-135M-Instruct", f"data.cache_dir={tmp_path}"]
    settings += ["data.pipeline=synthetic", "data.options={num_train: 48, num_val: 4, num_test: 4}"]
    settings += ["training.batch_size=4", "training.gradient_accumulation_steps=1", "training.max_steps=12"]
    settings += ["training.learning_rate=1e-3", "training.logging_steps=1", "training.use_gpu=false"]
    config = load([], [*settings, "lora.dropout=0.0"])
    try:
        find_base(config.model)
    except SetupError as error:
        pytest.skip(str(error))  # says how to get the model
    return config


def test_twelve_steps_halve_the_loss(config: Config, tmp_path: Path) -> None:
    texts, _ = prepare_texts(config)
    seen = losses(tiny_trainer(config, tmp_path / "out", texts))
    assert len(seen) == 12
    assert sum(seen[-3:]) / 3 < seen[0] / 2
