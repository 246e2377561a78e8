"""A worker node in a network of its own: cut off for a moment, cut off for good, and let back.

A network namespace and a pair of virtual cables stand for a second machine; taking the cable down, for the cut. The
kernel must permit both (root, CAP_NET_ADMIN).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
from chaos_rig import STEPS, Bench, Command, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows
from cluster_rig import Nodes, clean_environment, wait_until
from test_search_faults import SEARCH, check_whole, rungs_of

from t2s.cluster.local import alive_nodes
from t2s.cluster.nodes import free_port, start_node
from t2s.cluster.processes import find_raylet
from t2s.cluster.state import Cluster, create, read

HEAD_IP, WORKER_IP = "10.231.77.1", "10.231.77.2"
CABLE = f"t2s{os.getpid() % 100000}"


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True).returncode == 0


def may_make_networks() -> bool:
    """Whether this process may do it, found out by doing it."""
    if shutil.which("ip") is None or not ip("netns", "add", f"{CABLE}x"):
        return False
    made = ip("link", "add", f"{CABLE}a", "type", "veth", "peer", "name", f"{CABLE}b")
    ip("link", "del", f"{CABLE}a")
    ip("netns", "del", f"{CABLE}x")
    return made


pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


class CutNodes(Nodes):
    """A head here, and a worker at the other end of a cable."""

    def start(self) -> None:
        steps = [
            ("netns", "add", CABLE),
            ("link", "add", CABLE, "type", "veth", "peer", "name", f"{CABLE}p"),
            ("link", "set", f"{CABLE}p", "netns", CABLE),
            ("-n", CABLE, "link", "set", f"{CABLE}p", "name", CABLE),  # one name at both ends, for gloo
            ("addr", "add", f"{HEAD_IP}/24", "dev", CABLE),
            ("-n", CABLE, "addr", "add", f"{WORKER_IP}/24", "dev", CABLE),
            ("-n", CABLE, "link", "set", "lo", "up"),
            ("-n", CABLE, "link", "set", CABLE, "up"),
            ("link", "set", CABLE, "up"),
        ]
        assert all(ip(*step) for step in steps)
        create(Cluster(self.state, f"cut-{os.urandom(8).hex()}", free_port(), free_port(), 1, 1, HEAD_IP))
        start_node(self.here, "head")
        self.wait_for(1)
        self.join()

    def join(self) -> None:
        """Start the worker node, again if it was there before."""
        before = len(alive_nodes(self.here) or ())
        start_node(self.here, "worker-1", WORKER_IP, ("ip", "netns", "exec", CABLE))
        self.wait_for(before + 1)

    def wait_for(self, count: int) -> float:
        """Until so many nodes are alive to Ray; how long it took."""
        return wait_until(lambda: len(alive_nodes(self.here) or ()) == count)

    def cut(self) -> None:
        assert ip("link", "set", CABLE, "down")

    def let_back(self) -> None:
        assert ip("link", "set", CABLE, "up")

    def end(self) -> None:
        self.let_back()
        self.down()
        ip("netns", "del", CABLE)
        ip("link", "del", CABLE)
        assert read(self.state) is None


@pytest.fixture
def nodes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[CutNodes]:
    if not may_make_networks():
        pytest.skip("no network namespaces here: they need iproute2, root and the kernel's permission")
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", CABLE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = CutNodes(bench.folder)
    try:
        made.start()
        yield made
    finally:
        made.end()


def join(bench: Bench, nodes: Nodes, *words: str) -> Command:
    environment = {key: value for key, value in nodes.environment().items() if key not in clean_environment()}
    return bench.run(*words, "-c", str(bench.config), f"ray.address={nodes.here.address}", **environment)


def test_a_short_cut_only_costs_its_time(
    bench: Bench, nodes: CutNodes, undisturbed: Undisturbed, record_row: Record
) -> None:
    run_dir, length_s = bench.runs / "k", 8
    command = join(bench, nodes, "train", "--name", "k")
    command.wait_for(lambda: last_step(run_dir) >= 42)
    nodes.cut()
    time.sleep(length_s)
    at = last_step(run_dir)
    nodes.let_back()
    began = time.monotonic()
    command.wait_for(lambda: last_step(run_dir) > at)
    on_s = time.monotonic() - began
    assert command.wait() == 0, command.said()
    assert [row for row in rows(run_dir) if "restarts" in row] == []
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    record_row(
        f"the network of one of two nodes cut for {length_s} s during a training, a worker on each",
        "the workers wait for each other and go on; no restart; losses equal to 1e-6",
        f"0 restarts, the next step {on_s:.0f} s after the cable was back; largest difference of {STEPS} losses "
        f"{difference:.1g}",
    )


def test_a_node_that_stays_cut_off_is_given_up_and_a_search_ends_without_it(
    bench: Bench, nodes: CutNodes, record_row: Record
) -> None:
    search_dir = bench.runs / "s"
    command = join(bench, nodes, "search", "--name", "s", *SEARCH, "training.report_to=none")
    command.wait_for(lambda: rungs_of(search_dir) >= 1)
    assert [len(nodes.running("SlotHost", node)) for node in ("head", "worker-1")] == [1, 1], "slots on each node"
    nodes.cut()
    given_up_s = nodes.wait_for(1)
    nodes.let_back()
    mark = nodes.here.mark
    gone_s = wait_until(lambda: find_raylet(mark, "worker-1") is None)
    assert command.wait() == 0, command.said()
    trials = check_whole(search_dir)
    nodes.join()  # as `t2s cluster mend` does
    record_row(
        "the network of one of two nodes cut until Ray gives it up, during a search; then let back",
        "the search ends on the other node, every trial whole; the node ends itself and can join anew",
        f"given up after {given_up_s:.0f} s; back on the network its raylet ended after {gone_s:.0f} s; all "
        f"{len(trials)} trials whole; a new worker node joined",
    )
