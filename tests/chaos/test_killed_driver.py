"""SIGKILL of the command itself, then ``--resume``, with whole and with damaged checkpoints."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_rig import Bench, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

PLAIN = {"LC_ALL": "C", "LANG": "C"}
"""A system without a locale."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, places: tuple[Path, Path]) -> Iterator[Bench]:
    """A folder with a space and letters beyond ASCII, whose run ``k`` was killed after its second checkpoint."""
    bench = Bench(tmp_path_factory.mktemp("läufe und räume"), *places)
    run_dir = bench.runs / "k"
    command = bench.train("--name", "k", "training.report_to=mlflow", **PLAIN)
    command.wait_for(lambda: last_step(run_dir) >= 10)
    os.kill(command.process.pid, signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    # Ray's own agents look for their head every so often, and end when it is gone.
    assert command.left_over(180) == [], "Ray's processes outlived the command"
    shutil.copytree(run_dir, bench.folder / "as it was")
    yield bench
    bench.end()


def test_the_same_command_with_resume_goes_on(killed: Bench, undisturbed: Undisturbed, record_row: Record) -> None:
    run_dir = killed.runs / "k"
    before, newest = last_step(run_dir), newest_step(run_dir)
    command = killed.train("--resume", "k", "training.report_to=mlflow", **PLAIN)
    assert command.wait() == 0, command.said()
    assert f"step {newest}" in command.said() and newest >= 8
    assert [row["step"] for row in rows(run_dir) if "resumes" in row] == [newest]
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    assert mlflow_runs(killed.runs) == [("k", "FINISHED")]
    record_row(
        "SIGKILL of the command, then the same command with `--resume` (`LC_ALL=C`, a path with spaces and umlauts)",
        "continues from the newest valid checkpoint; same losses; the same MLflow run",
        f"killed at step {before}, went on from step {newest}; largest difference of losses {difference:.1g}; "
        "1 MLflow run, finished",
    )
    again = killed.run("train", "--resume", str(run_dir), **PLAIN)
    assert again.wait() == 0 and "has finished" in again.said()


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    killed: Bench, undisturbed: Undisturbed, record_row: Record
) -> None:
    run_dir = killed.folder / "one damaged"
    shutil.copytree(killed.folder / "as it was", run_dir)
    newest = newest_step(run_dir)
    flip_a_byte(run_dir / "checkpoints" / f"step-{newest}" / "optimizer.safetensors")
    command = killed.run("train", "--resume", str(run_dir), "training.report_to=none")
    assert command.wait() == 0, command.said()
    said = " ".join(command.said().split())
    assert "optimizer.safetensors: not the file that was written (SHA-256 differs)" in said
    assert [row["step"] for row in rows(run_dir) if "resumes" in row] == [newest - 4]
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6
    record_row(
        "a byte of the newest checkpoint flipped",
        "found by hash, named in a warning, the previous one used",
        f"warning names the file; went on from step {newest - 4} instead of {newest}; "
        f"largest difference of losses {difference:.1g}",
    )


def test_without_a_valid_checkpoint_nothing_starts_from_zero(killed: Bench, record_row: Record) -> None:
    run_dir = killed.folder / "all damaged"
    shutil.copytree(killed.folder / "as it was", run_dir)
    journal = (run_dir / "metrics.jsonl").read_bytes()
    newest = newest_step(run_dir)
    (run_dir / "checkpoints" / f"step-{newest}" / "manifest.json").unlink()
    adapter = run_dir / "checkpoints" / f"step-{newest - 4}" / "adapter.safetensors"
    os.truncate(adapter, adapter.stat().st_size // 2)
    began = time.monotonic()
    command = killed.run("train", "--resume", str(run_dir), "training.report_to=none")
    assert command.wait() == 1
    said = " ".join(command.said().split())
    assert "manifest.json: No such file" in said and "adapter.safetensors" in said and "Traceback" not in said
    assert (run_dir / "metrics.jsonl").read_bytes() == journal
    record_row(
        "manifest of one checkpoint missing, the other one truncated",
        "exit 1; nothing starts from zero",
        f"exit 1 after {time.monotonic() - began:.0f} s, both files named, the run unchanged",
    )


def newest_step(run_dir: Path) -> int:
    return max(int(path.name[5:]) for path in run_dir.glob("checkpoints/step-*") if path.name[5:].isdecimal())


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def mlflow_runs(runs: Path) -> list[tuple[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("t2s")
    assert experiment is not None
    return [(run.info.run_name, run.info.status) for run in client.search_runs([experiment.experiment_id])]
