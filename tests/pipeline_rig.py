"""A lifecycle that the tiny model can go through in seconds, with an adapter that passes the gate at its end."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

ANSWER = " SELECT name FROM people"
SPLITS = {"train": range(48), "val": range(48, 64), "test": range(64, 80)}


def write_people(folder: Path) -> Path:
    """Questions that all have one answer: 48 to learn it from, 16 to validate on, 16 to be judged by."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "people.db") as database:
        database.execute("CREATE TABLE people (name TEXT, team TEXT)")
        database.executemany("INSERT INTO people VALUES (?, ?)", [("Ann", "red"), ("Bo", "blue")])
    for split, numbers in SPLITS.items():
        asked = [
            {"question": f"Give me what is in {n}", "sql": ANSWER.strip(), "database": "people.db"} for n in numbers
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked), "utf-8")
    return folder


def lifecycle(model: Path, data: Path, runs: Path) -> dict[str, Any]:
    """Two trials, both said beforehand and neither stopped, so that a search ends alike however often it was killed;
    24 steps of one worker with a checkpoint every four.
    """
    length = len(AutoTokenizer.from_pretrained(model)(ANSWER)["input_ids"])
    return {
        "model": {"name": str(model)},
        "output_dir": str(runs),
        "data": {"pipeline": "jsonl", "path": str(data), "cache_dir": str(runs.parent / "cache")},
        "training": {
            "batch_size": 8, "gradient_accumulation_steps": 1, "epochs": 4, "learning_rate": 2e-2,
            "lr_scheduler": "constant", "logging_steps": 1, "save_steps": 4, "use_gpu": False,
        },
        "lora": {"r": 8, "alpha": 16, "target_modules": "all-linear", "dropout": 0.0},
        "inference": {"max_new_tokens": length},
        "search": {
            "num_trials": 2, "rungs": 2, "max_train_samples": 48, "max_val_samples": 16, "ex_samples": 8, "hosts": 1,
            "slots": 1, "scheduler": "none", "known": [{"r": 32}], "space": {"r": [8, 32], "alpha_over_r": [2.0]},
        },
        "ray": {"num_cpus": 2},
    }  # fmt: skip
