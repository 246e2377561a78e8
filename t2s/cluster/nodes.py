"""One node of a local cluster: ``ray start --block`` with ports of its own, since several nodes share a machine's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from t2s.cluster.processes import CLUSTER, NODE
from t2s.cluster.state import HEAD, Cluster
from t2s.errors import SetupError

RESERVED = range(10002, 20000)
"""Ray gives these to its worker processes."""
ROOT = "T2S_ROOT"
"""In a node's environment: the directory that jobs' relative ``output_dir`` and ``data.cache_dir`` are below."""
_PORTS = (
    "object-manager-port",
    "node-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)


def start_node(cluster: Cluster, name: str, ip: str | None = None, prefix: Sequence[str] = ()) -> None:
    """Start a node and return at once; its log is ``<state>/<name>.log``.

    ``prefix`` is put before the command, as ``ip netns exec NAME`` for a node with a network of its own at ``ip``.

    Raises:
        SetupError: there is no ``ray`` beside this Python, or the log cannot be written.
    """
    own = [part for flag in _PORTS for part in (f"--{flag}", free_port())]
    command = [*prefix, Path(sys.executable).with_name("ray"), "start", "--block", "--disable-usage-stats",
               "--node-ip-address", ip or cluster.ip, "--num-cpus", cluster.cpus,
               "--min-worker-port", 0, "--max-worker-port", 0, *own, *_role(cluster, name)]  # fmt: skip
    try:
        with (cluster.state / f"{name}.log").open("ab") as log:
            subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(cluster) | {NODE: name},
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(f"{name} cannot be started: {error.filename}: {error.strerror}") from None


def _role(cluster: Cluster, name: str) -> list[object]:
    if name != HEAD:
        return ["--address", cluster.address, "--temp-dir", scratch(cluster, name)]
    return [
        "--head", "--port", cluster.port, "--include-dashboard", "true", "--dashboard-host", cluster.ip,
        "--dashboard-port", cluster.dashboard_port, "--ray-client-server-port", free_port(),
    ]  # fmt: skip


def scratch(cluster: Cluster, worker: str) -> Path:
    """A worker node's own directory for what Ray unpacks, as on a machine of its own; short, as it holds sockets.

    In one that nodes share, a job's project is unpacked once a node: the second time removes it under the job's feet.
    """
    return Path(tempfile.gettempdir()) / f"t2s-{cluster.mark[:12]}-{worker}"


def environment(cluster: Cluster) -> dict[str, str]:
    """This environment with the token, and this Python first, so that a job's ``python`` is this one."""
    dropped = ("RAY_ADDRESS", "RAY_AUTH_TOKEN")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    own = client_environment(cluster) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "RAY_USAGE_STATS_ENABLED": "0",
        ROOT: str(Path.cwd()),
        CLUSTER: cluster.mark,
    }
    # Several nodes on one machine and a CPU each: one thread a process keeps them from fighting.
    return {"OMP_NUM_THREADS": "1"} | kept | own


def client_environment(cluster: Cluster) -> dict[str, str]:
    """What a client of the cluster must have in its environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(cluster.token_file),
        "RAY_API_SERVER_ADDRESS": cluster.url,
    }


def free_port() -> int:
    """A port that is free now and outside Ray's own range."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in RESERVED and port not in _given:
            _given.add(port)  # two flags of one node must not get the same
            return port


_given: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
