"""The tiny model, the settings of a tiny run, and a Ray session that ends with the file that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_model import save_tiny_model

from t2s.config import load
from t2s.runtime import ray_session

Overrides = Callable[[Path], list[str]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a random-weight Llama of hidden size 64 and its tokenizer."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_overrides(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Overrides:
    """``tiny_overrides(folder)``: settings of a run of eight steps on generated data, with its runs in ``folder``."""
    cache = tmp_path_factory.mktemp("cache")  # generated once

    def settings(folder: Path) -> list[str]:
        return [
            f"model.name={tiny_model}",
            f"output_dir={folder}",
            f"data.cache_dir={cache}",
            "data.pipeline=synthetic",
            "data.options={num_train: 64, num_val: 16, num_test: 16}",
            "training.batch_size=8",
            "training.gradient_accumulation_steps=1",
            "training.epochs=1",
            "training.learning_rate=3e-3",
            "training.logging_steps=1",
            "training.use_gpu=false",
            "lora.target_modules=all-linear",
            "lora.dropout=0.0",
            "inference.max_new_tokens=24",
        ]

    return settings


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray of two CPUs that commands of this file use; module-scoped, since other files start their own."""
    with ray_session(load([], ["ray.num_cpus=2", f"output_dir={tmp_path_factory.mktemp('ray')}"])):
        yield
