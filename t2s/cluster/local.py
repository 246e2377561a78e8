"""Start, look at, mend and end a cluster on this machine.

Not covered: several machines; there a head and workers are started by Kubernetes or Ray's cluster launcher
(``cluster/``). A head that died cannot come back: its cluster is started anew, and jobs go on from their runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.cluster.nodes import RESERVED, free_port, is_free, scratch, start_node
from t2s.cluster.processes import end, find_raylet, members
from t2s.cluster.state import FILE_NAME, HEAD, Cluster, create, forget, only_one, read, state_option
from t2s.errors import ConfigError, SetupError

READY_TIMEOUT_S = 180.0
STARTS = 3
"""Times that a node is started: Ray gives one half a minute, which is too short on a machine that is busy."""
_ASK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class NodeState:
    """A node as it is now. ``pid`` is its raylet's; None of a node that is dead."""

    name: str
    pid: int | None

    @property
    def is_up(self) -> bool:
        """Whether its raylet lives."""
        return self.pid is not None


@dataclass(frozen=True)
class Status:
    """A cluster as it is now."""

    cluster: Cluster
    nodes: list[NodeState]
    alive: int | None
    """Nodes that Ray counts as alive; None if the dashboard does not answer."""

    @property
    def is_whole(self) -> bool:
        """Whether all nodes are up, and Ray knows."""
        return all(node.is_up for node in self.nodes) and (self.alive or 0) >= len(self.nodes)


def up(state: Path, workers: int, cpus: int | None, dashboard_port: int, say: Callable[[str], None]) -> Cluster:
    """Start the nodes and wait until the cluster answers; on any failure end what was started.

    Raises:
        ConfigError: a number that cannot be.
        SetupError: the port is taken, the directory holds a cluster or cannot be written, or a node does not start.
    """
    _check(workers, cpus, dashboard_port)
    each = cpus or max(1, (os.cpu_count() or 1) // (1 + workers))
    cluster = Cluster(state.absolute(), secrets.token_hex(16), free_port(), dashboard_port, workers, each)
    create(cluster)
    try:
        _start(cluster, [HEAD], set(), say)
        _start(cluster, cluster.names[1:], _counted(cluster), say)
    except BaseException:
        down(state)
        raise
    return cluster


def down(state: Path) -> int | None:
    """End every process of the cluster and nothing else; how many there were, None if there is no cluster."""
    cluster = read(state)
    if cluster is None:
        return None
    count = end(cluster.mark)
    for name in cluster.names:
        shutil.rmtree(scratch(cluster, name), ignore_errors=True)
    forget(cluster)
    return count


def status(state: Path) -> Status:
    """How the cluster is; a :class:`SetupError` if there is none."""
    cluster = _read(state)
    raylets = {name: find_raylet(cluster.mark, name) for name in cluster.names}
    nodes = [NodeState(name, raylet.pid if raylet else None) for name, raylet in raylets.items()]
    alive = alive_nodes(cluster)
    return Status(cluster, nodes, None if alive is None else len(alive))


def mend(state: Path, say: Callable[[str], None]) -> list[str]:
    """Start the worker nodes again that died, and wait for them; their names.

    Raises:
        SetupError: there is no cluster, its head died, another mends it, or a node does not start.
    """
    with only_one(_read(state)):
        return _mend(state, say)


def _mend(state: Path, say: Callable[[str], None]) -> list[str]:
    found = status(state)
    dead = [node.name for node in found.nodes if not node.is_up]
    if HEAD in dead:
        raise SetupError(
            f"{state}: the head died, and the cluster with it: t2s cluster down{state_option(state)}, then t2s cluster "
            f"up{state_option(state)}; a job goes on with the same t2s submit --id"
        )
    if not dead:
        return []
    before = _counted(found.cluster)  # Ray may not have noticed yet that one of them is dead
    for name in dead:
        end(found.cluster.mark, name)
    _start(found.cluster, dead, before, say)
    return dead


def alive_nodes(cluster: Cluster) -> set[str] | None:
    """The ids of the nodes that Ray counts as alive, None if its dashboard does not answer."""
    import httpx

    try:
        headers = {"Authorization": f"Bearer {cluster.token_file.read_text('utf-8')}"}
        url = f"{cluster.url}/api/v0/nodes"
        answer: Any = httpx.get(url, headers=headers, timeout=_ASK_TIMEOUT_S, trust_env=False).json()
        return {node["node_id"] for node in answer["data"]["result"]["result"] if node["state"] == "ALIVE"}
    except (OSError, httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _counted(cluster: Cluster) -> set[str]:
    """:func:`alive_nodes`, asked until there is an answer: without one, nodes that are there would pass for new ones.

    Raises:
        SetupError: there is none for :data:`READY_TIMEOUT_S`.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (found := alive_nodes(cluster)) is None:
        if time.monotonic() > deadline:
            raise SetupError(f"the dashboard at {cluster.url} does not answer: see {cluster.state / HEAD}.log")
        time.sleep(1)
    return found


def _start(cluster: Cluster, names: list[str], before: Set[str], say: Callable[[str], None]) -> None:
    """Start nodes and wait until Ray counts them as alive besides those of ``before``.

    Raises:
        SetupError: one ends again and again, or not all are there after :data:`READY_TIMEOUT_S`.
    """
    starts = dict.fromkeys(names, 0)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        for name in names:
            log = cluster.state / f"{name}.log"
            if members(cluster.mark, name):
                continue
            if starts[name] == STARTS:
                raise SetupError(f"{name} does not start, {STARTS} times tried: see {log}")
            say(f"starting {name}{' again' if starts[name] else ''}; log {log}")
            start_node(cluster, name)
            starts[name] += 1
        if len((alive_nodes(cluster) or set()) - before) >= len(names):
            return
        if time.monotonic() > deadline:
            raise SetupError(
                f"{' and '.join(names)}: not ready after {READY_TIMEOUT_S:.0f} s: see {cluster.state}/*.log"
            )
        time.sleep(1)


def _check(workers: int, cpus: int | None, dashboard_port: int) -> None:
    if workers < 0 or (cpus is not None and cpus < 1):
        raise ConfigError(f"--workers {workers}, --cpus {cpus}: workers are 0 or more, CPUs of a node 1 or more")
    if not 1 <= dashboard_port <= 65535:
        raise ConfigError(f"--dashboard-port {dashboard_port}: a port is 1 to 65535")
    if dashboard_port in RESERVED:
        raise ConfigError(
            f"--dashboard-port {dashboard_port}: Ray keeps {RESERVED.start}-{RESERVED.stop - 1} for itself: "
            "choose another"
        )
    if not is_free(dashboard_port):
        raise SetupError(f"--dashboard-port {dashboard_port} is taken: choose another, or end what listens there")


def _read(state: Path) -> Cluster:
    cluster = read(state)
    if cluster is None:
        raise SetupError(f"{state} holds no cluster ({FILE_NAME} is missing): t2s cluster up, or give its --state")
    return cluster
