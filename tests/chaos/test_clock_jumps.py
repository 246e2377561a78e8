"""The wall clock jumps days forwards and backwards under a training, as one that is set right does (a laptop that
slept, a virtual machine restored), and the times of files say the opposite of their order.

Not the machine's clock, which others use too: every Python process of the command, Ray's workers among them, starts
with a ``time`` whose wall clock is shifted. Ray's own C++ keeps the true one; ``libfaketime`` would shift it as well,
but its 0.9.10 breaks ``time.sleep`` (EINVAL), with which Ray does not start.
"""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from chaos_rig import Bench, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

DAY_S = 86_400
SHIFTED = """
import time as _time
_true, _true_ns = _time.time, _time.time_ns
def _days():
    with open({file!r}) as stream:
        return int(stream.read())
_time.time = lambda: _true() + 86_400 * _days()
_time.time_ns = lambda: _true_ns() + 86_400 * 10**9 * _days()
"""


class Clock:
    """The wall clock of what is started with :attr:`environment`; :meth:`jump` sets it against the real one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.jump(0)
        (folder / "shifted").mkdir()
        # Python imports it at its start.
        (folder / "shifted" / "sitecustomize.py").write_text(SHIFTED.format(file=str(self._file)), "utf-8")
        before = os.environ.get("PYTHONPATH")
        self.environment = {"PYTHONPATH": os.pathsep.join([str(folder / "shifted"), *([before] if before else [])])}

    def jump(self, days: int) -> None:
        """At once, for every process."""
        aside = self._file.with_name("clock.new")
        aside.write_text(str(days), "utf-8")
        aside.replace(self._file)


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
    checkpoints = sorted((run_dir / "checkpoints").iterdir())
    for age_days, path in enumerate(checkpoints):
        os.utime(path, (time.time() - age_days * DAY_S,) * 2)  # the newest step is the oldest file
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
