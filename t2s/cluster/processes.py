"""Which processes are a cluster's, and how they end.

Every process that a node starts inherits a mark in its environment, and what hides its environment has a parent that
shows it. An id is given away again and a killed parent's children belong to nobody; a random mark does neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil

from t2s.errors import SetupError

CLUSTER = "T2S_CLUSTER"
"""Names the cluster in the environment of its processes; the value is random."""
NODE = "T2S_CLUSTER_NODE"
"""Likewise the node."""
STOP_TIMEOUT_S = 40.0
"""Ray drains a node for up to 30 s after SIGTERM."""
KILL_TIMEOUT_S = 20.0
"""What is killed and still there after this hangs in the kernel, or is another user's."""
_AGAIN_S = 0.2


def members(mark: str, node: str | None = None) -> list[psutil.Process]:
    """The living processes of a cluster, or of one of its nodes."""
    wanted = {CLUSTER: mark} | ({NODE: node} if node else {})
    found = {process for process in psutil.process_iter() if wanted.items() <= _environment(process).items()}
    return [process for process in found | _below(found) if _lives(process)]


def find_raylet(mark: str, node: str) -> psutil.Process | None:
    """The process that is the node to Ray: a node without one is dead."""
    return next((process for process in members(mark, node) if _name(process) == "raylet"), None)


def end(mark: str, node: str | None = None) -> int:
    """End a cluster's processes in order, then by force, until none is left; how many there were at first.

    Raises:
        SetupError: one does not even end by force.
    """
    first = left = members(mark, node)
    told: set[psutil.Process] = set()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while left and time.monotonic() < deadline:
        # Parents alone are asked: `ray start` ends what it started, in its order; then what such a parent left.
        for process in [process for process in _roots(left) if process not in told]:
            _tell(process.terminate)
            told.add(process)
        time.sleep(_AGAIN_S)
        left = members(mark, node)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while left and time.monotonic() < deadline:
        for process in left:
            _tell(process.kill)
        psutil.wait_procs(left, timeout=_AGAIN_S)
        left = members(mark, node)
    if left:
        ids = ", ".join(str(process.pid) for process in left)
        raise SetupError(f"process {ids}: does not end by SIGKILL: end it by hand, then run the same again")
    return len(first)


def _roots(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that no other one started, workers' before the head's."""
    there = list(processes)
    ids = {process.pid for process in there}
    roots = [process for process in there if _parent(process) not in ids]
    return sorted(roots, key=lambda process: _environment(process).get(NODE) == "head")


def _below(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in processes:
        try:
            found |= set(process.children(recursive=True))
        except psutil.Error:
            continue
    return found


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # another user's, or gone
        return {}


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _tell(signal: Callable[[], object]) -> None:
    try:
        signal()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone, or another user's, which is told at the end
        return
