"""A Ray cluster on this machine: a head and workers as processes of their own, on loopback, with a token.

    python cluster/local.py up --workers 1        # prints what to export; the dashboard is at 127.0.0.1:8265
    python cluster/local.py down                  # ends exactly what `up` started

The state directory holds the token (readable by its owner only), a log for each node, and the processes' ids
with their start times: `down` touches no process that got a recycled id, and no other Ray on the machine.
Not covered: separate machines; see ``cluster/kuberay``.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 40.0
RESERVED = range(10002, 20000)  # Ray gives these to its worker processes


def main() -> int:
    """Parse, act, return the exit code."""
    parser = argparse.ArgumentParser(description="A Ray cluster on this machine.")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--workers", type=int, default=1, help="worker nodes beside the head")
    parser.add_argument("--cpus", type=int, default=None, help="CPUs that each node offers; default: all / nodes")
    parser.add_argument("--dashboard-port", type=int, default=8265)
    parser.add_argument("--state", type=Path, default=Path("runs/cluster"), help="directory of token, logs and ids")
    given = parser.parse_args()
    return (
        up(given.state, given.workers, given.cpus, given.dashboard_port) if given.action == "up" else down(given.state)
    )


def up(state: Path, workers: int, cpus: int | None, dashboard_port: int) -> int:
    """Start the nodes and wait until the cluster answers; on any failure end what was started."""
    if (state / "nodes.json").exists():
        return _fail(f"{state} has a cluster already: run `down` first")
    if workers < 0 or (cpus is not None and cpus < 1):
        return _fail("--workers is 0 or more, --cpus 1 or more")
    if dashboard_port in RESERVED or not _is_free(dashboard_port):
        return _fail(f"--dashboard-port {dashboard_port} is in use or inside Ray's own 10002-19999: choose another")
    cpus = cpus or max(1, (os.cpu_count() or 1) // (1 + workers))
    state.mkdir(parents=True, exist_ok=True)
    environment = _environment(_write_token(state))
    gcs_port, *spare = _free_ports(2)
    head = ["--head", "--port", gcs_port, "--dashboard-host", "127.0.0.1", "--dashboard-port", dashboard_port,
            "--include-dashboard", "true", "--ray-client-server-port", *spare]  # fmt: skip
    _start(state, "head", cpus, head, environment)
    url = f"http://127.0.0.1:{dashboard_port}"
    ready = _wait(url, environment, 1)
    for number in range(workers if ready else 0):
        _start(state, f"worker-{number}", cpus, ["--address", f"127.0.0.1:{gcs_port}"], environment)
    if not ready or not _wait(url, environment, 1 + workers):
        down(state)
        return _fail(f"the cluster did not answer within {READY_TIMEOUT_S:.0f} s; see {state}/*.log")
    token = (state / "token").absolute()
    print(f"{1 + workers} nodes of {cpus} CPUs; dashboard {url}\n")
    print(f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={token}")
    print(f"t2s submit train --address {url} -- -c configs/smollm2-135m.yaml   # run as a job")
    print(f"t2s train ray.address=127.0.0.1:{gcs_port} -c configs/smollm2-135m.yaml   # or join it")
    return 0


def down(state: Path) -> int:
    """End the nodes that `up` started, workers first, and nothing else."""
    file = state / "nodes.json"
    if not file.exists():
        print(f"no cluster in {state}")
        return 0
    nodes = json.loads(file.read_text())
    alive = [node for node in reversed(nodes) if _started(node["pid"]) == node["started"]]
    groups = {member for node in alive for member in _family(node["pid"])}
    for node in alive:
        os.kill(node["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline and any(_started(pid) == start for pid, start in groups):
        time.sleep(0.2)
    for pid, start in groups:  # what ignored the orderly end
        if _started(pid) == start:
            os.kill(pid, signal.SIGKILL)
    file.unlink()
    (state / "token").unlink(missing_ok=True)
    print(f"{len(alive)} nodes ended")
    return 0


def _start(state: Path, name: str, cpus: int, arguments: list[Any], environment: dict[str, str]) -> None:
    """One ``ray start --block``, with ports of its own: several nodes share this machine's."""
    flags = ("object-manager-port", "node-manager-port", "dashboard-agent-listen-port",
             "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")  # fmt: skip
    pairs = zip(flags, _free_ports(len(flags)), strict=True)
    ports = [part for flag, port in pairs for part in (f"--{flag}", port)]
    ray = Path(sys.executable).with_name("ray")
    command = [ray, "start", "--block", "--node-ip-address", "127.0.0.1", "--num-cpus", cpus,
               "--min-worker-port", 0, "--max-worker-port", 0, "--disable-usage-stats",
               *ports, *arguments]  # fmt: skip
    with (state / f"{name}.log").open("wb") as log:
        node = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        )  # fmt: skip
    file = state / "nodes.json"
    nodes = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*nodes, {"name": name, "pid": node.pid, "started": _started(node.pid)}], indent=1))


def _wait(url: str, environment: dict[str, str], nodes: int) -> bool:
    """Whether ``nodes`` nodes are alive before the time is up."""
    import httpx

    headers = {"Authorization": f"Bearer {Path(environment['RAY_AUTH_TOKEN_PATH']).read_text()}"}
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/api/v0/nodes", headers=headers, timeout=5, trust_env=False).json()
            listed = answer["data"]["result"]["result"]
            if sum(node["state"] == "ALIVE" for node in listed) >= nodes:
                return True
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            pass
        time.sleep(0.5)
    return False


def _write_token(state: Path) -> Path:
    file = (state / "token").absolute()
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(secrets.token_hex(32))
    return file


def _environment(token: Path) -> dict[str, str]:
    """This environment with the token, and this Python first, so that a job's ``python`` is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kept = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")}
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PATH": path,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    # Several nodes on one machine and a CPU each: one thread a process keeps them from fighting.
    return {"OMP_NUM_THREADS": "1"} | kept | own


def _free_ports(count: int) -> list[int]:
    """Ports that are free now and outside Ray's own range; held together, so that they differ."""
    held, ports = [], list[int]()
    while len(ports) < count:
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        held.append(probe)
        if (port := probe.getsockname()[1]) not in RESERVED:
            ports.append(port)
    for probe in held:
        probe.close()
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _started(pid: int) -> str | None:
    """When the process began, in clock ticks since boot: with the id it names one process for ever."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _family(pid: int) -> set[tuple[int, str]]:
    """The process and all below it, each with its start time."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, grown = {pid}, True
    while grown:
        below = {child for child, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return {(each, start) for each in found if (start := _started(each))}


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 4


if __name__ == "__main__":
    sys.exit(main())
