"""Several workers, and workers that die: the steps are those of one worker that computes undisturbed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_model import tiny_trainer

from t2s.cli.main import run
from t2s.config import load
from t2s.model.adapter import read_manifest
from t2s.track.journal import read_journal
from t2s.train.launch import prepare_texts
from t2s.train.measure import Validation

pytestmark = pytest.mark.usefixtures("ray")

Overrides = Callable[[Path], list[str]]


def undisturbed(settings: list[str], out: Path) -> tuple[list[float], float]:
    """Losses step by step and the validation loss of the same training here, without Ray, by one worker."""
    config = load([], settings)
    texts, _ = prepare_texts(config)
    trainer = tiny_trainer(config, out, texts)
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row], trainer.evaluate()["eval_loss"]


def test_rays_own_helpers_ask_this_ray_and_no_other_on_the_machine() -> None:
    import ray as cluster
    from ray.dashboard.utils import get_address_for_submission_client

    seen = cluster.get(cluster.remote(get_address_for_submission_client).remote(None))
    assert seen == f"http://{cluster._private.worker.get_dashboard_url()}"


def journal(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "metrics.jsonl"
    return read_journal(path) if path.exists() else []


@pytest.mark.chaos  # a minute; and a killed worker is a row of tests/chaos too
def test_two_workers_of_which_one_is_killed_take_the_steps_of_one_undisturbed(
    tiny_overrides: Overrides, tmp_path: Path
) -> None:
    common = [*tiny_overrides(tmp_path), "training.report_to=none", "training.epochs=3"]
    two = ["training.batch_size=4", "training.num_workers=2", "training.save_steps=2"]
    losses, eval_loss = undisturbed(common, tmp_path / "alone")
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(["train", "--name", "two", *common, *two])))
    thread.start()
    try:
        wait_until(lambda: any(row["step"] >= 5 for row in journal(tmp_path / "two")), thread)
        killed = train_workers()[0]
        os.kill(killed.pid, signal.SIGKILL)
    finally:
        thread.join(200)
    assert codes == [0]
    rows = journal(tmp_path / "two")
    ((resumed, count),) = [(row["step"], row["restarts"]) for row in rows if "restarts" in row]
    assert count == 1 and 1 < resumed < 24, "it went on from a checkpoint, not from the start"
    steps = [row["step"] for row in rows]
    assert steps == sorted(steps), "the steps that were taken again have their lines once"
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 25))
    for row in rows:
        if "loss" in row:
            assert row["loss"] == pytest.approx(losses[row["step"] - 1], abs=1e-4), f"step {row['step']}"
    assert [row["eval_loss"] for row in rows if "eval_loss" in row] == [pytest.approx(eval_loss, abs=1e-4)]
    assert read_manifest(tmp_path / "two" / "adapter")["steps"] == 24
    assert not (tmp_path / "two" / "ray").exists() and not (tmp_path / "two" / "run.lock").exists()


def test_as_many_workers_as_there_is_room_for_measure_what_one_measures_and_end_where_it_ends(
    people_overrides: Overrides, tmp_path: Path
) -> None:
    common = [*people_overrides(tmp_path), "training.report_to=none", "training.eval_ex_samples=12"]
    common += ["training.metric_for_best=eval_ex", "training.early_stopping_patience=2"]
    config = load([], common)
    trainer = tiny_trainer(config, tmp_path / "alone", texts := prepare_texts(config)[0])
    trainer.validation = Validation(config, texts.questions)
    trainer.train()
    alone = [row for row in trainer.state.log_history if "eval_loss" in row]
    both = ["--name", "both", *common, "training.num_workers=[1, 2]", "training.batch_size=4"]
    assert run(["train", *both]) == 0
    shared = [row for row in journal(tmp_path / "both") if "eval_loss" in row]
    assert len(shared) == len(alone) > 2
    for one, two in zip(alone, shared, strict=True):
        assert two["step"] == one["step"]
        assert two["eval_loss"] == pytest.approx(one["eval_loss"], abs=1e-3)
        assert (two["eval_ex"], two["eval_ex_n"]) == (one["eval_ex"], 12)
    manifests = (tmp_path / "both").glob("checkpoints/*/manifest.json")
    assert {json.loads(file.read_text())["world_size"] for file in manifests} == {2}
    kept = read_manifest(tmp_path / "both" / "adapter")["steps"]
    assert kept == trainer.state.best_global_step < alone[-1]["step"] < 24, "both ended early, with the same best step"


def train_workers() -> list[psutil.Process]:
    """Ray Train's workers below this process."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def wait_until(met: Callable[[], bool], thread: threading.Thread, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not met():
        assert thread.is_alive() and time.monotonic() < end, "the run ended before it could be disturbed"
        time.sleep(0.02)
