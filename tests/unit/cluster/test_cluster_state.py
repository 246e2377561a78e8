"""The directory of a local cluster, and whose processes are whose, without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from t2s.cli.main import run
from t2s.cluster import local, processes
from t2s.cluster.local import down, mend, up
from t2s.cluster.nodes import RESERVED, free_port, is_free
from t2s.cluster.processes import CLUSTER, NODE, end, find_raylet, members
from t2s.cluster.state import Cluster, create, forget, only_one, read
from t2s.errors import ConfigError, SetupError

TREE = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"


def made(state: Path, mark: str = "m") -> Cluster:
    return Cluster(state, mark, 30000, 30001, 1, 1)


def start(mark: str, node: str, program: str = TREE) -> subprocess.Popen[bytes]:
    environment = os.environ | {CLUSTER: mark, NODE: node}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    return process


def test_a_record_is_read_back_and_never_written_over(tmp_path: Path) -> None:
    cluster = made(tmp_path)
    create(cluster)
    assert read(tmp_path) == cluster and cluster.token_file.stat().st_mode & 0o777 == 0o600
    token = cluster.token_file.read_text()
    with pytest.raises(SetupError, match=f"t2s cluster down --state {tmp_path}"):
        create(replace(cluster, mark="other"))
    assert read(tmp_path) == cluster and cluster.token_file.read_text() == token
    forget(cluster)
    assert read(tmp_path) is None and [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_a_damaged_record_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(SetupError, match=f"{tmp_path}/cluster.json"):
        down(tmp_path)


def test_down_twice_and_without_a_cluster_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "down", "--state", str(tmp_path / "none")]) == 0
    assert "no cluster" in capsys.readouterr().out
    assert run(["cluster", "status", "--state", str(tmp_path / "none")]) == 4
    assert "t2s cluster up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("workers", "cpus", "port"),
    [(-1, None, 8265), (1, 0, 8265), (1, 1, RESERVED.start), (1, 1, 0), (1, 1, 65536)],
)
def test_numbers_that_cannot_be_start_nothing(tmp_path: Path, workers: int, cpus: int | None, port: int) -> None:
    with pytest.raises(ConfigError):
        up(tmp_path / "s", workers, cpus, port, print)
    assert not (tmp_path / "s").exists()


def test_a_directory_that_cannot_be_written_is_one_line_and_leaves_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    port = str(free_port())
    for state in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run(["cluster", "up", "--state", str(state), "--dashboard-port", port]) == 4
        assert f"{state}" in capsys.readouterr().err
    (tmp_path / "s" / "token").mkdir(parents=True)  # what stands there is no token and cannot be replaced
    with pytest.raises(SetupError, match="token"):
        create(made(tmp_path / "s"))
    assert read(tmp_path / "s") is None


def test_a_dashboard_that_is_silent_for_a_moment_does_not_make_an_old_node_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked in vain, it was taken to count no node: then the head passed for the worker, which nobody started."""
    answers: list[set[str] | None] = [{"head"}, None, {"head"}, {"head"}, {"head", "new"}]
    started: list[str] = []
    monkeypatch.setattr(local, "alive_nodes", lambda cluster: answers.pop(0) if len(answers) > 1 else answers[0])
    monkeypatch.setattr(local, "start_node", lambda cluster, name: started.append(name))
    monkeypatch.setattr(local, "members", lambda mark, node: [node] if node in started else [])
    monkeypatch.setattr(local.time, "sleep", lambda seconds: None)
    up(tmp_path, 1, 1, free_port(), print)
    assert started == ["head", "worker-1"] and len(answers) == 1


def test_mending_starts_the_dead_node_although_the_dashboard_is_silent_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(made(tmp_path))
    answers: list[set[str] | None] = [None, None, {"head"}, {"head", "new"}]
    started: list[str] = []
    monkeypatch.setattr(local, "alive_nodes", lambda cluster: answers.pop(0) if len(answers) > 1 else answers[0])
    monkeypatch.setattr(local, "find_raylet", lambda mark, name: psutil.Process() if name == "head" else None)
    monkeypatch.setattr(local, "start_node", lambda cluster, name: started.append(name))
    monkeypatch.setattr(local.time, "sleep", lambda seconds: None)
    assert mend(tmp_path, print) == ["worker-1"] == started


def test_two_people_who_mend_at_once_do_not_start_a_node_twice(tmp_path: Path) -> None:
    create(made(tmp_path))
    with only_one(made(tmp_path)), pytest.raises(SetupError, match="another t2s cluster mend is at work"):
        mend(tmp_path, print)


def test_what_does_not_even_end_by_force_is_named_and_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"stuck-{os.getpid()}"
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.1)
    monkeypatch.setattr(processes, "KILL_TIMEOUT_S", 0.1)
    process = start(mark, "head")
    with monkeypatch.context() as patch, pytest.raises(SetupError, match=f"{process.pid}.*by hand"):
        patch.setattr(processes, "_tell", lambda signal: None)  # a process in the kernel hears no signal
        end(mark)
    monkeypatch.setattr(processes, "KILL_TIMEOUT_S", 20.0)
    end(mark)
    process.wait()


def test_a_dead_head_cannot_be_mended_and_the_cure_is_named(tmp_path: Path) -> None:
    create(made(tmp_path, "nobody-carries-this"))
    with pytest.raises(SetupError, match=f"t2s cluster down --state {tmp_path}, then t2s cluster up --state"):
        mend(tmp_path, print)
    assert down(tmp_path) == 0


def test_orphans_are_found_by_their_mark_and_others_are_left_alone() -> None:
    mark = f"test-{os.getpid()}"
    node, other = start(mark, "worker-1"), start(mark + "x", "worker-1")
    try:
        assert len(members(mark)) == 2 and find_raylet(mark, "worker-1") is None
        node.kill()  # its child belongs to nobody now
        node.wait()
        (orphan,) = members(mark, "worker-1")
        assert orphan.name() == "sleep"
        began = time.monotonic()
        assert end(mark) == 1 and time.monotonic() - began < 5
        assert not psutil.pid_exists(orphan.pid) or orphan.status() == psutil.STATUS_ZOMBIE
        assert len(members(mark + "x")) == 2
    finally:
        end(mark + "x")
        other.wait()


def test_what_ignores_an_orderly_end_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t2s.cluster.processes.STOP_TIMEOUT_S", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = start(f"deaf-{os.getpid()}", "head", deaf)
    assert end(f"deaf-{os.getpid()}") == 1
    assert process.wait(5) is not None


def test_ports_are_free_different_and_none_of_rays_own() -> None:
    ports = [free_port() for _ in range(30)]
    assert len(set(ports)) == 30 and not set(ports) & set(RESERVED) and all(map(is_free, ports))
