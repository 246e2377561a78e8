"""``t2s search`` on the tiny model: real Ray Tune, Optuna and MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.cli.main import run
from t2s.config import Config, load
from t2s.track.files import recall_run

pytestmark = pytest.mark.usefixtures("ray")


@pytest.fixture(scope="module")
def overrides(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    more = ["search.num_trials=3", "search.rungs=2", "search.max_train_samples=32", "search.max_val_samples=8"]
    more += ["search.space.r=[2, 4]", "search.space.alpha_over_r=[1.0, 2.0]", "lora.r=4", "lora.alpha=12"]
    return [*tiny_overrides(tmp_path_factory.mktemp("search")), *more]


@pytest.fixture(scope="module")
def config(overrides: list[str]) -> Config:
    return load([], overrides)


@pytest.fixture(scope="module")
def searched(overrides: list[str], config: Config, ray: None) -> Path:
    assert run(["search", "--name", "three", *overrides]) == 0
    return config.output_dir / "three"


def test_three_trials_and_the_first_is_the_configured_setting(searched: Path, config: Config) -> None:
    found = json.loads((searched / "search.json").read_text())
    trials = found["trials"]
    assert len(trials) == 3 and all(trial["loss"] > 0 and trial["cpu_s"] > 0 for trial in trials)
    assert trials[0]["setting"] == {"r": 4, "alpha_over_r": 3, "learning_rate": config.training.learning_rate}
    assert {trial["state"] for trial in trials} <= {"finished", "stopped"}
    assert all(trial["rungs"] == (2 if trial["state"] == "finished" else 1) for trial in trials)
    finished = [trial for trial in trials if trial["state"] == "finished"]
    assert found["best"] == min(finished, key=lambda trial: trial["loss"])["id"]


def test_the_best_setting_is_a_file_for_the_next_training(searched: Path, overrides: list[str]) -> None:
    found = json.loads((searched / "search.json").read_text())
    best = next(trial["setting"] for trial in found["trials"] if trial["id"] == found["best"])
    config = load([searched / "best.yaml"])
    assert (config.lora.r, config.training.learning_rate) == (best["r"], best["learning_rate"])
    assert config.lora.alpha == pytest.approx(best["r"] * best["alpha_over_r"])


def test_mlflow_has_one_parent_and_a_child_a_trial(searched: Path, config: Config) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{config.output_dir / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("t2s").experiment_id])
    parent = recall_run(searched)
    children = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == parent]
    assert len(runs) == 4 and len(children) == 3
    assert all(each.info.status == "FINISHED" for each in runs)
    assert all(each.data.params.keys() == {"r", "alpha_over_r", "learning_rate"} for each in children)
    losses = {trial["id"]: trial["loss"] for trial in json.loads((searched / "search.json").read_text())["trials"]}
    assert {each.info.run_name: each.data.metrics["eval_loss"] for each in children} == losses
    assert client.get_run(parent).data.metrics["best_eval_loss"] in losses.values()
    assert {"search.json", "best.yaml"} <= {file.path for file in client.list_artifacts(parent)}


def test_batches_that_cannot_be_shared_out_are_refused(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"output_dir={tmp_path / 'runs'}", "search.num_workers=2"]
    assert run(["search", *overrides, *words]) == 2
    assert "search.num_workers=2 does not divide" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
