"""``search.mode: workers``: a training of its own for each trial, with the same ladder, finalists and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.cli.main import run
from t2s.config import load
from t2s.model.adapter import read_manifest
from t2s.search.record import read_trials

pytestmark = pytest.mark.usefixtures("ray")


def test_trials_in_processes_of_their_own(tiny_overrides: Callable[[Path], list[str]], tmp_path: Path) -> None:
    overrides = [
        *tiny_overrides(tmp_path), "search.mode=workers", "search.num_trials=2", "search.rungs=2",
        "search.max_train_samples=32", "search.max_val_samples=8", "search.ex_samples=8", "search.space.r=[2, 4]",
        "lora.r=4", "lora.alpha=12", "search.scheduler=none", "training.report_to=none",
    ]  # fmt: skip
    assert run(["search", "--name", "two", *overrides]) == 0
    search_dir = load([], overrides).output_dir / "two"
    trials = read_trials(search_dir)
    assert [(trial.number, trial.state, trial.rung) for trial in trials] == [(1, "finished", 2), (2, "finished", 2)]
    for trial in trials:
        low, last = trial.rungs
        assert "eval_ex" not in low.metrics and "eval_ex" in last.metrics, "only the last rung asks questions"
        assert trial.examples == 32 and trial.cpu_s > 0
    summary = json.loads((search_dir / "search.json").read_text())
    assert sorted(each["number"] for each in summary["finalists"]) == [1, 2]
    assert read_manifest(search_dir / "adapter")["steps"] == 4
    assert {path.name for path in (search_dir / "trials").iterdir()} == {"1", "2"}
