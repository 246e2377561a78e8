"""SIGKILL of a whole node, of the head, and a node that the network cuts off: what trainings and searches do then.

A node is killed with all its processes at once, as if its machine had lost its power.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_rig import STEPS, Bench, Command, Record, Undisturbed, eval_loss, farthest, last_step, losses, rows
from cluster_rig import Nodes
from test_search_faults import SEARCH, check_whole, rungs_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

WORKER = "RayTrainWorker"
JOB = """
import sys
from t2s.cli.job_entry import run_job
sys.exit(run_job("train", sys.argv[1:]))
"""


@pytest.fixture
def nodes(bench: Bench) -> Iterator[Nodes]:
    """A head and a worker node of one CPU each."""
    made = Nodes(bench.folder)
    made.up()
    yield made
    made.down()


def join(bench: Bench, nodes: Nodes, *words: str) -> Command:
    """A command that runs here and works on the nodes."""
    environment = {key: value for key, value in nodes.environment().items() if key.startswith("RAY_")}
    return bench.run(*words, "-c", str(bench.config), f"ray.address={nodes.here.address}", **environment)


def wait_for_step(command: Command, run_dir: Path, step: int) -> int:
    command.wait_for(lambda: last_step(run_dir) >= step)
    return last_step(run_dir)


def restarts(run_dir: Path) -> list[int]:
    return [row["step"] for row in rows(run_dir) if "restarts" in row]


def test_a_training_goes_on_when_its_node_is_back(
    bench: Bench, nodes: Nodes, undisturbed: Undisturbed, record_row: Record
) -> None:
    run_dir = bench.runs / "k"
    command = join(bench, nodes, "train", "--name", "k")
    at = wait_for_step(command, run_dir, 42)
    assert [len(nodes.running(WORKER, node)) for node in ("head", "worker-1")] == [1, 1], "a worker on each node"
    nodes.kill("worker-1")
    began = time.monotonic()
    seen = nodes.cluster("status")
    assert seen.returncode == 1 and "t2s cluster mend" in seen.stderr
    mended = nodes.cluster("mend")
    assert mended.returncode == 0 and mended.stdout == "started worker-1\n", mended.stderr
    assert nodes.cluster("mend").stdout == "nothing to mend: all nodes are up\n"
    command.wait_for(lambda: bool(restarts(run_dir)))
    back_s = time.monotonic() - began
    assert command.wait() == 0, command.said()
    (resumed,) = restarts(run_dir)
    assert 0 < resumed <= at + 1
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    record_row(
        "SIGKILL of one of two nodes, each with a worker of the training; `t2s cluster mend`",
        "the training waits for the node and goes on; losses equal to 1e-6",
        f"1 restart from step {resumed}, {max(0, at - resumed)} steps lost, {back_s:.0f} s after the kill; largest "
        f"difference of {STEPS} losses {difference:.1g}",
    )


def test_an_elastic_training_goes_on_with_what_is_left(bench: Bench, nodes: Nodes, record_row: Record) -> None:
    run_dir = bench.runs / "k"
    command = join(bench, nodes, "train", "--name", "k", "training.num_workers=[1, 2]")
    at = wait_for_step(command, run_dir, 30)
    assert [len(nodes.running(WORKER, node)) for node in ("head", "worker-1")] == [1, 1], "a worker on each node"
    nodes.kill("worker-1")
    began = time.monotonic()
    command.wait_for(lambda: bool(restarts(run_dir)))
    back_s = time.monotonic() - began
    assert command.wait() == 0, command.said()
    resumed = restarts(run_dir)
    assert 0 < resumed[0] <= at + 1
    steps = sorted(losses(run_dir))
    assert steps == list(range(1, steps[-1] + 1)), "every step once"
    assert (run_dir / "adapter").is_dir() and eval_loss(run_dir) > 0
    record_row(
        "SIGKILL of one of two nodes of an elastic training (`training.num_workers=[1, 2]`)",
        "goes on with one worker, every step once",
        f"{len(resumed)} restart(s), from step {resumed[0]}, {max(0, at - resumed[0])} steps lost, {back_s:.0f} s "
        f"after the kill; {steps[-1]} steps, validation loss {eval_loss(run_dir):.3f}",
    )


def test_a_search_loses_a_node_and_no_trial(bench: Bench, nodes: Nodes, record_row: Record) -> None:
    search_dir = bench.runs / "s"
    command = join(bench, nodes, "search", "--name", "s", *SEARCH, "training.report_to=none")
    command.wait_for(lambda: rungs_of(search_dir) >= 2)
    assert [len(nodes.running("SlotHost", node)) for node in ("head", "worker-1")] == [1, 1], "slots on each node"
    nodes.kill("worker-1")
    began = time.monotonic()
    assert command.wait() == 0, command.said()
    trials = check_whole(search_dir)
    record_row(
        "SIGKILL of one of two nodes, each with a slot of the search",
        "the search ends on the node that is left, with every trial whole",
        f"all {len(trials)} trials whole, no rung twice, {time.monotonic() - began:.0f} s after the kill",
    )


def test_a_job_that_died_with_its_head_goes_on_by_the_same_command(
    bench: Bench, nodes: Nodes, undisturbed: Undisturbed, record_row: Record
) -> None:
    (bench.folder / "jobs").mkdir()
    (bench.folder / "jobs" / "train.py").write_text(JOB)
    words = ("submit", "train", "--id", "nightly", "--", "-c", str(bench.config))
    run_dir = bench.runs / "nightly"

    def again() -> Command:
        environment = {key: value for key, value in nodes.environment().items() if key.startswith("RAY_")}
        return bench.run(*words, **environment)

    command = again()
    at = wait_for_step(command, run_dir, 42)
    nodes.kill("head")
    assert command.wait(60) == 1 and "lost sight of nightly" in command.said()
    down = nodes.cluster("down")
    assert down.returncode == 0, down.stderr
    nodes.up()
    command = again()
    assert command.wait() == 0, command.said()
    (going_on,) = re.findall(r"going on from .*step (\d+)", " ".join(command.said().split()))
    difference = farthest(losses(run_dir), undisturbed.losses)
    assert difference <= 1e-6 and eval_loss(run_dir) == pytest.approx(undisturbed.eval_loss, abs=1e-6)
    assert nodes.t2s(*words).returncode == 0 and nodes.json("jobs", "list")[-1]["id"] == "nightly"
    record_row(
        "SIGKILL of the head during a job; `t2s cluster down`, `up`, the same `t2s submit --id`",
        "the job goes on with its run; losses equal to 1e-6",
        f"killed at step {at}, went on from step {going_on}; largest difference of {STEPS} losses {difference:.1g}",
    )
