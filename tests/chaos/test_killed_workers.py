"""SIGKILL of workers: Ray Train starts all again, and they take the steps of a run that nobody disturbed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from chaos_rig import STEPS, Bench, Command, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

INTERVAL = 4


def restarts(run_dir: Path) -> list[int]:
    """The step that each restart went on from."""
    return [row["step"] for row in rows(run_dir) if "restarts" in row]


def kill_one(command: Command) -> None:
    random.choice(command.workers()).kill()


def test_one_of_two_workers_killed_mid_epoch(bench: Bench, undisturbed: Undisturbed, record_row: Record) -> None:
    run_dir, began = bench.runs / "k", time.monotonic()
    command = bench.train("--name", "k")
    command.wait_for(lambda: last_step(run_dir) >= 42)
    at = last_step(run_dir)
    kill_one(command)
    assert command.wait() == 0, command.said()
    ratio = (time.monotonic() - began) / undisturbed.seconds
    (resumed,) = restarts(run_dir)
    assert resumed > 0 and 0 <= at - resumed <= INTERVAL + 1, "it lost more than one interval"
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    assert f"a worker died: all started again from step {resumed} (restart 1 of at most 2)" in command.said()
    assert ratio <= 2.5
    record_row(
        "SIGKILL of one of two workers mid-epoch",
        f"completes; steps lost ≤ {INTERVAL}; losses equal to 1e-6; ≤ 2.5× the time",
        f"1 restart from step {resumed}, {max(0, at - resumed)} steps lost; largest difference of {STEPS} losses "
        f"{difference:.1g}; {ratio:.1f}× of {undisturbed.seconds:.0f} s",
    )


def kill_all_at_five_random_steps(command: Command, run_dir: Path) -> list[int]:
    """The second and the fourth time in the middle of a save. Where the run stood each time."""
    killed_at = []
    for number, step in enumerate(sorted(random.sample(range(2, STEPS - 6), 5)), start=1):
        command.wait_for(lambda step=step: last_step(run_dir) >= step)
        if number in (2, 4):
            command.wait_for(lambda: any(run_dir.glob("checkpoints/*.tmp")))
        killed_at.append(last_step(run_dir))
        for worker in command.workers():
            worker.kill()
        command.wait_for(lambda number=number: len(restarts(run_dir)) >= 1 and command.said().count("died") >= number)
    return killed_at


def five_kills(bench: Bench, undisturbed: Undisturbed, *words: str) -> tuple[float, str]:
    """The training of ``words`` under five kills takes the same steps: its time over the undisturbed, what was seen."""
    run_dir, began = bench.runs / "k", time.monotonic()
    command = bench.train("--name", "k", "training.max_failures=5", *words)
    killed_at = kill_all_at_five_random_steps(command, run_dir)
    assert command.wait(1200) == 0, command.said()
    ratio = (time.monotonic() - began) / undisturbed.seconds
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    assert max(row["restarts"] for row in rows(run_dir) if "restarts" in row) == 5
    assert not list(run_dir.glob("checkpoints/*.tmp"))
    seen = f"killed at steps {killed_at}, 5 restarts; largest difference {difference:.1g}; {ratio:.2f}× "
    return ratio, seen + f"of {undisturbed.seconds:.0f} s, {(ratio - 1) * undisturbed.seconds / 5:.0f} s a kill"


def test_workers_killed_five_times_two_of_them_during_a_save(
    bench: Bench, undisturbed: Undisturbed, record_row: Record
) -> None:
    """Of its 75 s, five are steps: what a kill costs is Ray's start and PyTorch's imports, so no limit is set here."""
    record_row(
        "SIGKILL of all workers at five random times, two of them during a save",
        "completes; steps never decrease; losses equal to 1e-6",
        five_kills(bench, undisturbed)[1],
    )


@pytest.mark.real
@pytest.mark.timeout(3000)
def test_workers_of_a_real_model_killed_five_times(bench: Bench, record_row: Record) -> None:
    real = "model.name=HuggingFaceTB/SmolLM2-135M-Instruct"
    command, began = bench.train("--name", "calm", real), time.monotonic()
    assert command.wait(1200) == 0, command.said()
    calm = Undisturbed(losses(bench.runs / "calm"), eval_loss(bench.runs / "calm"), time.monotonic() - began)
    ratio, seen = five_kills(bench, calm, real)
    assert ratio <= 2.5
    record_row(
        "the same with SmolLM2-135M, 4-bit, a run of minutes",
        "completes; steps never decrease; losses equal to 1e-6; ≤ 2.5× the time",
        seen,
    )
