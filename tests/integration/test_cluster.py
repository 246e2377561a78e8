"""A head and a worker node on this machine, jobs on them, and nothing left when they are ended."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_rig import T2S, Nodes, clean_environment, wait_until

from t2s.cluster.nodes import scratch
from t2s.cluster.processes import members

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import sys, time
print("job got", sys.argv[1:], flush=True)
time.sleep(600 if "wait" in sys.argv else 0)
if "everywhere" in sys.argv:
    import os, ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
    from t2s.config import load
    from t2s.runtime import ray_session
    with ray_session(load([], [])):
        task = ray.remote(lambda: os.getcwd())
        there = [ray.get(task.options(scheduling_strategy=On(node["NodeID"], False)).remote()) for node in ray.nodes()]
    print("worked in", len(set(there)), "directories, and still is in", os.getcwd() in there, flush=True)
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes, and a folder with a job that says what it got and ends with the code that it is told."""
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    (made.folder / "jobs").mkdir()
    (made.folder / "jobs" / "train.py").write_text(JOB)
    try:
        made.up()
        yield made
    finally:
        made.down()


def submit(nodes: Nodes, *words: str) -> subprocess.CompletedProcess[str]:
    return nodes.t2s("submit", "train", *words)


def test_both_nodes_are_up_and_a_second_up_is_refused_with_the_cure(nodes: Nodes) -> None:
    found = nodes.json("cluster", "status", "--state", str(nodes.state))
    assert [(node["name"], node["state"]) for node in found["nodes"]] == [("head", "up"), ("worker-1", "up")]
    assert found["alive"] == 2 and Path(found["token_path"]).stat().st_mode & 0o777 == 0o600
    before = {process.pid for process in nodes.processes()}
    again = nodes.cluster("up", "--dashboard-port", "20001")
    assert again.returncode == 4 and f"t2s cluster down --state {nodes.state}" in " ".join(again.stderr.split())
    assert before <= {process.pid for process in nodes.processes()}, "the refused one touched the first"


def test_a_job_is_followed_listed_and_not_run_twice(nodes: Nodes) -> None:
    done = submit(nodes, "--id", "nightly", "--cpus", "0.5", "--", "a b", "lora.r=8", "3")
    assert done.returncode == 3 and "job got ['a b', 'lora.r=8', '3']" in done.stdout
    assert "t2s jobs stop nightly --address http://127.0.0.1:" in done.stdout
    good = submit(nodes, "--id", "nightly", "--", "0")
    assert good.returncode == 0 and "nightly failed: going on as nightly.2" in good.stderr
    idle = submit(nodes, "--id", "nightly", "--", "0")
    assert idle.returncode == 0 and "nothing is left to do" in idle.stderr and "job got" not in idle.stdout
    listed = [(job["id"], job["state"], job["exit"]) for job in nodes.json("jobs", "list")]
    assert listed == [("nightly", "FAILED", 3), ("nightly.2", "SUCCEEDED", 0)]


def test_a_job_keeps_its_directory_when_it_works_on_every_node(nodes: Nodes) -> None:
    done = submit(nodes, "--", "everywhere", "0")
    assert done.returncode == 0 and "worked in 2 directories, and still is in True" in done.stdout, done.stdout


def test_a_running_job_is_found_again_and_stopped_as_by_ctrl_c(nodes: Nodes) -> None:
    words = ("submit", "train", "--id", "long", "--", "wait", "0")
    assert submit(nodes, "--id", "long", "--no-wait", "--", "wait", "0").returncode == 0
    with (nodes.folder / "follower.log").open("w+") as said:
        follower = subprocess.Popen(
            [T2S, *words], cwd=nodes.folder, env=nodes.environment(), stdout=said, stderr=subprocess.STDOUT
        )
        wait_until(lambda: "job got" in (nodes.folder / "follower.log").read_text())
        stopped = nodes.json("jobs", "stop", "long")
        assert stopped["state"] == "STOPPED" and follower.wait(60) == 130
    assert "long runs already: following it" in (nodes.folder / "follower.log").read_text()
    logs = nodes.t2s("jobs", "logs", "long").stdout
    assert "KeyboardInterrupt" in logs, "it was told by SIGINT, which t2s answers in order"


def test_an_unknown_job_and_a_wrong_token_are_one_line_with_the_cure(nodes: Nodes, tmp_path: Path) -> None:
    unknown = nodes.t2s("jobs", "status", "nightlyy")
    assert unknown.returncode == 2 and "did you mean 'nightly" in unknown.stderr
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    refused = nodes.t2s("jobs", "list", RAY_AUTH_TOKEN_PATH=str(wrong))
    assert refused.returncode == 4 and "export RAY_AUTH_MODE=token" in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr and wrong.read_text() not in refused.stderr


def test_the_real_entry_point_passes_on_a_configuration_error(nodes: Nodes) -> None:
    done = submit(nodes, "--working-dir", str(ROOT), "--", "lora.rr=8")
    assert done.returncode == 2 and "unknown key lora.rr" in done.stdout


def test_a_command_that_joins_tells_its_processes_which_dashboard_is_theirs(nodes: Nodes) -> None:
    """Ray's own helpers ask the Ray that started last on the machine otherwise; see docs/log.md."""
    code = (
        "import ray\n"
        "from t2s.config import load\n"
        "from t2s.runtime import ray_session\n"
        f"with ray_session(load([], ['ray.address={nodes.here.address}'])):\n"
        "    print(ray.get_runtime_context().runtime_env['env_vars']['RAY_API_SERVER_ADDRESS'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=nodes.environment(), capture_output=True, text=True)
    assert done.stdout.strip() == nodes.here.url, done.stderr


def test_down_ends_what_up_started_also_after_a_crash_and_nothing_else(nodes: Nodes) -> None:
    """The last one of this file."""
    for process in nodes.running("ray start", "head"):
        process.kill()  # what it had started has no parent now
    mark, token, own = nodes.here.mark, nodes.here.token_file, scratch(nodes.here, "worker-1")
    assert own.is_dir()
    bystander = subprocess.Popen(["sleep", "600"], env=clean_environment())
    try:
        done = nodes.cluster("down")
        assert done.returncode == 0 and "processes ended" in done.stdout, done.stderr
        assert members(mark) == [] and bystander.poll() is None
        assert not token.exists() and not own.exists()
    finally:
        bystander.kill()
        bystander.wait()
    assert nodes.cluster("down").stdout == f"no cluster in {nodes.state}\n"
    shutil.rmtree(nodes.state)
