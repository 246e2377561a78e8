"""``t2s search`` on the tiny model: slots on two hosts, real Ray Tune, Optuna and MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t2s.cli.main import run
from t2s.config import Config, load
from t2s.model.adapter import read_manifest
from t2s.search.record import Trial, read_trials
from t2s.track.files import recall_run

pytestmark = pytest.mark.usefixtures("ray")

SEARCH = [
    "search.num_trials=5", "search.rungs=2", "search.max_train_samples=32", "search.max_val_samples=8",
    "search.ex_samples=8", "search.space.r=[2, 4]", "search.space.alpha_over_r=[1.0, 2.0]", "lora.r=4", "lora.alpha=12",
]  # fmt: skip

OVERFLOWS = 1e30
"""A scale with which the second trial has no finite gradient; other trials may draw it too."""


@pytest.fixture(scope="module")
def overrides(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*tiny_overrides(tmp_path_factory.mktemp("search")), *SEARCH]


@pytest.fixture(scope="module")
def config(overrides: list[str]) -> Config:
    return load([], overrides)


@pytest.fixture(scope="module")
def searched(overrides: list[str], config: Config, ray: None) -> Path:
    """Five trials in two slots on each of two hosts; the second one is told to overflow."""
    words = ["search.hosts=2", "search.slots=2", "search.max_concurrent_trials=3", "search.scheduler=median"]
    words += ["search.known=[{alpha_over_r: 1e30}]", "search.sampler=random"]
    words += ["search.finalist_seeds=2", "search.finalists=1"]
    assert run(["search", "--name", "five", *overrides, *words]) == 0
    return config.output_dir / "five"


@pytest.fixture(scope="module")
def trials(searched: Path) -> list[Trial]:
    return read_trials(searched)


@pytest.fixture(scope="module")
def summary(searched: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((searched / "search.json").read_text())
    return found


def test_all_trials_end_under_their_numbers_and_the_first_is_the_configured_setting(
    trials: list[Trial], config: Config
) -> None:
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5]
    assert trials[0].setting == {"r": 4, "alpha_over_r": 3, "learning_rate": config.training.learning_rate}
    good = [trial for trial in trials if trial.setting["alpha_over_r"] != OVERFLOWS]
    assert len(good) >= 2 and all((trial.state, trial.rung) == ("finished", 2) for trial in good)
    assert all(trial.loss is not None and trial.ex is not None for trial in good)
    assert all(trial.cpu_s > 0 and trial.examples == 32 for trial in good)
    assert {trial.host.rsplit("-", 1)[1] for trial in trials if trial.host} == {"0", "1"}


def test_a_loss_that_is_no_number_fails_its_trial_and_no_other(trials: list[Trial]) -> None:
    bad = [trial for trial in trials if trial.setting["alpha_over_r"] == OVERFLOWS]
    assert trials[1] in bad and all(trial.state == "failed" for trial in bad)
    assert all(trial.error.startswith("step ") and "\n" not in trial.error for trial in bad)


def test_tune_keeps_no_trial_waiting_for_long(trials: list[Trial]) -> None:
    waited = [trial.last.metrics["waited_s"] for trial in trials if trial.last]
    assert len(waited) >= 2 and all(0 <= seconds < 30 for seconds in waited)


def test_the_finalists_answers_decide_and_the_winners_adapter_is_kept(
    searched: Path, summary: dict[str, Any], trials: list[Trial]
) -> None:
    finalists = summary["finalists"]
    assert all(len(each["accuracies"]) == 2 and each["accuracies"][0]["eval_ex_n"] == 16 for each in finalists)
    assert 1 in [each["number"] for each in finalists], "the configured setting is among those compared"
    assert summary["best"] == min(finalists, key=lambda each: (-each["ex"], each["loss"]))["number"]
    manifest = read_manifest(searched / "adapter")
    assert (manifest["trial"], manifest["steps"], manifest["run"]) == (summary["best"], 4, "five")
    assert summary["cost"]["examples"] == sum(trial.examples for trial in trials)
    kept = {path.name for path in (searched / "trials").iterdir()}
    assert kept == {str(each["number"]) for each in finalists} and not (searched / "tune").exists()
    assert (searched / "report.html").stat().st_size > 10_000


def test_the_best_setting_is_a_file_for_the_next_training(searched: Path, summary: dict[str, Any]) -> None:
    best = next(trial["setting"] for trial in summary["trials"] if trial["number"] == summary["best"])
    config = load([searched / "best.yaml"])
    assert (config.lora.r, config.training.learning_rate) == (best["r"], best["learning_rate"])
    assert config.lora.alpha == pytest.approx(best["r"] * best["alpha_over_r"])


def test_mlflow_has_one_parent_and_a_child_a_trial(searched: Path, config: Config, trials: list[Trial]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{config.output_dir / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("t2s")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == recall_run(searched)]
    losses = {f"trial-{trial.number}": trial.loss for trial in trials if trial.loss is not None}
    assert len(children) == 5
    assert {r.info.run_name: r.data.metrics["eval_loss"] for r in children if r.data.metrics} == losses


def test_a_name_that_is_taken_and_a_search_that_is_finished_change_nothing(
    searched: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (searched / "search.json").read_bytes()
    assert run(["search", "--name", "five", *overrides]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert run(["search", "--resume", str(searched)]) == 0
    assert "nothing is left to do" in " ".join(capsys.readouterr().err.split())
    assert (searched / "search.json").read_bytes() == before


def test_another_space_is_refused_field_by_field(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--resume", str(searched), "search.rungs=4", "search.space.r=[8]", "ray.num_cpus=1"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "search.rungs 2 then, 4 now" in said
        and "search.space.r [2, 4] then, [8] now" in said
        and "num_cpus" not in said
    )


def test_a_budget_ends_a_search_that_goes_on_with_a_larger_one(
    overrides: list[str], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search.hosts=1", "search.slots=1", "search.scheduler=hyperband", "training.report_to=none"]
    assert run(["search", "--name", "short", *overrides, *words, "--examples", "40", "search.num_trials=3"]) == 0
    search_dir = config.output_dir / "short"
    first = read_trials(search_dir)
    assert "the budget ends the search" in " ".join(capsys.readouterr().err.split())
    assert first[0].state == "finished" and 40 <= sum(trial.examples for trial in first) <= 80
    assert all(trial.state == "finished" or trial.reason for trial in first)
    assert read_manifest(search_dir / "adapter")["trial"] == 1

    assert run(["search", "--resume", "short", f"output_dir={config.output_dir}", "--examples", "10000"]) == 0
    trials = read_trials(search_dir)
    assert [trial.number for trial in trials] == [1, 2, 3] and trials[: len(first)] == first


def test_batches_that_cannot_be_shared_out_are_refused(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"output_dir={tmp_path / 'runs'}", "search.num_workers=2", "search.mode=workers"]
    assert run(["search", *overrides, *words]) == 2
    assert "search.num_workers=2 does not divide" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search.hosts=3"], "search.hosts=3: this Ray has CPUs for 2"),
        (["search.slots=100000"], "search.slots=100000 needs about"),
        (["--resume", "nothing"], "no search of that name"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(
    overrides: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", *overrides, *words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said and "Traceback" not in said
