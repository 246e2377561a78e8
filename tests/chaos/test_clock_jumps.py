"""The wall clock jumps days forwards and backwards under a training, as a clock that is set right does (NTP, a laptop
that slept, a virtual machine restored). Debian's ``libfaketime`` shifts it in the command and all that it starts, Ray
too; the monotonic clock runs on, as it does on a real machine.
"""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from chaos_rig import Bench, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
DAY_S = 86_400


class Clock:
    """The wall clock of what is started with :attr:`environment`; :meth:`jump` sets it against the real one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.jump(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, days: int) -> None:
        """At once, for every process."""
        aside = self._file.with_name("clock.new")
        aside.write_text(f"{days * DAY_S:+d}\n", "utf-8")
        aside.replace(self._file)


@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime: apt-get install faketime")
def test_a_clock_that_jumps_changes_no_step_and_no_resume(
    bench: Bench, undisturbed: Undisturbed, record_row: Record
) -> None:
    run_dir, clock = bench.runs / "k", Clock(bench.folder)
    command = bench.train("--name", "k", "training.report_to=mlflow", **clock.environment)
    command.wait_for(lambda: last_step(run_dir) >= 20)
    clock.jump(3)
    command.wait_for(lambda: last_step(run_dir) >= 40)
    clock.jump(-10)
    command.wait_for(lambda: last_step(run_dir) >= 60)
    os.kill(command.process.pid, signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    assert command.left_over(180) == [], "Ray's processes outlived the command"
    clock.jump(-30)
    resumed = bench.train("--resume", "k", "training.report_to=mlflow", **clock.environment)
    assert resumed.wait() == 0, resumed.said()
    (step,) = [row["step"] for row in rows(run_dir) if "resumes" in row]
    assert step >= 56, "the newest checkpoint is the one of the highest step, not of the latest hour"
    times = [row["time"] for row in rows(run_dir)]
    hops = [round((later - earlier) / DAY_S) for earlier, later in pairwise(times)]
    assert [hop for hop in hops if hop] == [3, -13, -20], "the journal did not see the clock jump"
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    record_row(
        "the clock jumps 3 days ahead, 13 back, and, after a SIGKILL of the command, 20 more back before `--resume`",
        "same losses; resumes from the checkpoint of the highest step",
        f"largest difference of losses {difference:.1g}; went on from step {step}",
    )
