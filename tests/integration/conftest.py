"""The tiny model, the settings of a tiny run, and a Ray session that ends with the file that asked for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_model import save_tiny_model
from transformers import AutoTokenizer

from t2s.config import load
from t2s.runtime import ray_session

Overrides = Callable[[Path], list[str]]
ANSWER = " SELECT name FROM people"


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


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions that all have one answer in training, and another one for every fourth of validation."""
    folder = tmp_path_factory.mktemp("people")
    with sqlite3.connect(folder / "people.db") as database:
        database.execute("CREATE TABLE people (name TEXT, team TEXT)")
        database.executemany("INSERT INTO people VALUES (?, ?)", [("Ann", "red"), ("Bo", "blue")])
    for split, numbers in (("train", range(48)), ("val", range(48, 64)), ("test", range(64, 68))):
        lines = [
            {
                "question": f"Give me what is in {number}",
                "sql": f"SELECT {'team' if split == 'val' and number % 4 == 0 else 'name'} FROM people",
                "database": "people.db",
            }
            for number in numbers
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder


@pytest.fixture(scope="session")
def people_overrides(tiny_overrides: Overrides, tiny_model: Path, people: Path) -> Overrides:
    """``people_overrides(folder)``: settings with which the tiny model learns to answer some of ``people`` in a few
    steps, and is measured every third one.
    """
    # As long as the answer: a random base learns the words of an answer in a few steps, and its end in many.
    length = len(AutoTokenizer.from_pretrained(tiny_model)(ANSWER)["input_ids"])
    own = [
        "data.pipeline=jsonl",
        f"data.path={people}",
        "training.learning_rate=2e-2",
        "training.epochs=4",
        "training.lr_scheduler=constant",
        "training.eval_steps=3",
        "lora.r=32",
        f"inference.max_new_tokens={length}",
    ]

    def settings(folder: Path) -> list[str]:
        shared = [setting for setting in tiny_overrides(folder) if not setting.startswith("data.options")]
        return [*shared, *own]

    return settings


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray of two CPUs that commands of this file use; module-scoped, since other files start their own."""
    with ray_session(load([], ["ray.num_cpus=2", f"output_dir={tmp_path_factory.mktemp('ray')}"])):
        yield
