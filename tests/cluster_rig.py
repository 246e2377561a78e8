"""A real cluster on this machine for tests: `t2s cluster up`, clients with its token, and nodes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from t2s.cluster import processes, state
from t2s.cluster.nodes import client_environment, free_port

T2S = str(Path(sys.executable).with_name("t2s"))


def clean_environment() -> dict[str, str]:
    """This environment without a cluster in it, one thread a process."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return kept | {"OMP_NUM_THREADS": "1"}


class Nodes:
    """A head and workers of one CPU each, started by the command itself."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / "cluster"
        self._up = ("up", "--workers", str(workers), "--cpus", "1", "--dashboard-port", str(free_port()))

    def up(self) -> subprocess.CompletedProcess[str]:
        """Start them; a second time on the same ports, after :meth:`down`."""
        done = self.cluster(*self._up)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def cluster(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``t2s cluster ...``."""
        return self.t2s("cluster", *words, "--state", str(self.state))

    def t2s(self, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """A command with the cluster's environment."""
        environment = self.environment() | changed
        return subprocess.run(
            [T2S, *words], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )

    def json(self, *words: str) -> Any:
        """What a command says with ``--json``."""
        done = self.t2s(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def environment(self) -> dict[str, str]:
        """What ``up`` says to export."""
        there = state.read(self.state)
        return clean_environment() | (client_environment(there) if there else {})

    @property
    def here(self) -> state.Cluster:
        """The cluster's own record."""
        found = state.read(self.state)
        assert found is not None
        return found

    def processes(self, node: str | None = None) -> list[psutil.Process]:
        """All of the cluster or of one node."""
        return processes.members(self.here.mark, node)

    def running(self, what: str, node: str) -> list[psutil.Process]:
        """Processes of a node with ``what`` in their command line."""
        return [process for process in self.processes(node) if what in _line(process)]

    def kill(self, node: str) -> None:
        """As if the machine lost its power: everything of the node at once."""
        for process in self.processes(node):
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue

    def down(self) -> None:
        """End them all; nothing is left."""
        there = state.read(self.state)
        self.cluster("down")
        assert there is None or processes.members(there.mark) == []


def wait_until(met: Callable[[], object], timeout_s: float = 120) -> float:
    """Until ``met()``; how long it took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < timeout_s, f"nothing in {timeout_s} s"
        time.sleep(0.1)
    return time.monotonic() - began


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
