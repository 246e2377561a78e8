"""Ctrl-C, a second process, other settings."""

from __future__ import annotations

import os
import signal
import time

import pytest
from chaos_rig import Bench, Record, Undisturbed, farthest, last_step, losses

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def test_a_second_process_on_a_run_is_refused(bench: Bench, record_row: Record) -> None:
    command = bench.train("--name", "k", "training.epochs=300")
    command.wait_for(lambda: last_step(bench.runs / "k") >= 1)
    holder = f"process {command.process.pid} on "
    for arguments in (["--name", "k"], ["--resume", "k"]):
        second = bench.train(*arguments)
        assert second.wait() == 2 and holder in " ".join(second.said().split()), second.said()
    record_row("two processes on one run directory", "the second exits 2, naming the holder", f"exit 2, “{holder}…”")
    assert command.process.poll() is None


def test_ctrl_c_leaves_a_run_that_goes_on(bench: Bench, undisturbed: Undisturbed, record_row: Record) -> None:
    run_dir = bench.runs / "k"
    command = bench.train("--name", "k")
    command.wait_for(lambda: last_step(run_dir) >= 6)
    began = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does: to all that the command started
    code, seconds = command.wait(60), time.monotonic() - began
    left = command.left_over(1)
    assert code == 130 and seconds < 10 and left == [], (code, seconds, left, command.said())
    assert f"t2s train --resume {run_dir.relative_to(bench.folder)}" in command.said()
    assert "Traceback" not in command.said()

    changed = bench.train("--resume", "k", "training.learning_rate=1e-3", "lora.r=4", "training.logging_steps=2")
    assert changed.wait() == 2
    said = changed.said()
    assert "training.learning_rate  0.003 then, 0.001 now" in said and "lora.r" in said and "logging_steps" not in said
    record_row(
        "resume with another configuration",
        "refused with a field-by-field difference, except for safe fields",
        "exit 2; `training.learning_rate  0.003 then, 0.001 now`, `lora.r  16 then, 4 now`",
    )

    resumed = bench.run("train", "--resume", "runs/k")
    assert resumed.wait() == 0, resumed.said()
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6
    record_row(
        "Ctrl-C",
        "exit 130 within 10 s, resumable, next command printed, no process left behind",
        f"exit 130 in {seconds:.1f} s, 0 processes left; resumed: largest difference of losses {difference:.1g}",
    )
