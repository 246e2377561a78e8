"""Pipelines that were never run: the record and what each stage would have left, for what reads them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from t2s.config import Config, dump, load
from t2s.pipeline.settings import settings_of
from t2s.pipeline.state import NAMES, Flags, State
from t2s.search.record import STUDY

PROMOTED: dict[str, Any] = {
    "version": 2, "promoted": True, "is_champion": True, "champion": "2", "against": "the base model", "p_value": 0.001,
    "reason": "EX against the base model: 12 won and 1 lost of 16 questions",
}  # fmt: skip
REFUSED = PROMOTED | {"promoted": False, "is_champion": False, "champion": "1", "against": "champion version 1"}
RESULTS: dict[str, dict[str, Any]] = {
    "search": {
        "best": 2, "trials": 3, "setting": {"r": 8, "learning_rate": 1e-3}, "loss": 0.5, "ex": 0.25, "run_id": "s",
    },
    "train": {
        "adapter": "p-train/adapter", "sha256": "abc", "metrics": {"eval_loss": 0.25, "wall_s": 9.0}, "run_id": "t",
    },
    "evaluate": {"questions": 16, "scores": {"ex_base": 0.125, "ex_tuned": 0.75, "ex_champion": 0.5}, "run_id": "e"},
    "promote": PROMOTED,
    "deploy": {"url": "http://127.0.0.1:8000", "version": "2", "kept": False},
}  # fmt: skip


def config_of(runs: Path, *words: str) -> Config:
    return load([], [f"output_dir={runs}", "data.pipeline=synthetic", *words])


def make_state(runs: Path, done: int = len(NAMES), flags: Flags = Flags(), **results: dict[str, Any]) -> State:
    """A pipeline ``p`` whose first ``done`` stages are done, with these results instead of the usual ones."""
    (runs / "p").mkdir(parents=True, exist_ok=True)
    config = config_of(runs)
    (runs / "p" / "config.yaml").write_text(dump(config))
    state = State.new(runs / "p", flags)
    state.write()
    for name in NAMES[:done]:
        state.begin(name, settings_of(name, config, flags))
        state.end(name, results.get(name, RESULTS[name]))
    return state


def leave_files(runs: Path, wrong: str = "") -> None:
    """What search, training and evaluation left; ``wrong`` stands wherever text of others stands."""
    from searched import make_search

    book = make_search(runs / "p-search", num_trials=3, error=wrong)
    book.write(best=1, finalists=[], pareto=[])
    assert (runs / "p-search" / STUDY).is_file()
    (runs / "p-train").mkdir()
    rows: list[dict[str, Any]] = [{"step": step, "time": time.time(), "loss": 2.0 / step} for step in range(1, 11)]
    rows.append({"step": 10, "time": time.time(), "eval_loss": 0.25})
    (runs / "p-train" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (runs / "p-evaluate").mkdir()
    (runs / "p-evaluate" / "evaluation.json").write_text(json.dumps(evaluation(wrong or "synthetic")))


def evaluation(pipeline: str) -> dict[str, Any]:
    """What the page reads of ``evaluation.json``."""
    base, tuned = ({"accuracy": mark, "low": mark - 0.1, "high": mark + 0.1, "n": 16} for mark in (0.125, 0.75))
    cell = {"base": base, "tuned": tuned, "change": 0.625}
    rows = [{"category": name, "n": 16, "ex": cell, "lf": cell} for name in ("simple_select", "overall")]
    paired = {"difference": 0.625, "low": 0.375, "high": 0.875, "p_value": 0.002}
    data = {"n": 16, "pipeline": pipeline, "split": "test"}
    return {"table": rows, "comparison": {"ex": {"overall": paired}}, "data": data}
