"""What ``t2s ui`` started ends with it, without MLflow: a parent whose child outlives it stands for that."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

TREE = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"
PROGRAM = f"import sys; from t2s.cli.ui import _run; _run([sys.executable, '-c', {TREE!r}], {{}})"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_alone_leaves_no_server_behind(number: signal.Signals) -> None:
    command = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert command.stdout is not None
    child = int(command.stdout.readline())
    command.send_signal(number)
    assert command.wait(30) != 0
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server's child is still there"
        time.sleep(0.05)
