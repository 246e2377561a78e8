"""``t2s submit`` against a real local head with a token, started and ended by the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.cli.jobs import submit
from t2s.errors import ConfigError, SetupError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "cluster" / "local.py"


def free_port() -> int:
    """A port outside what Ray gives to its workers."""
    sys.path.insert(0, str(LOCAL.parent))
    try:
        from local import _free_ports
    finally:
        sys.path.remove(str(LOCAL.parent))
    return int(_free_ports(1)[0])


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard's address of a head of one CPU; the client has its token."""
    state, port = tmp_path_factory.mktemp("cluster") / "state", free_port()
    command = [sys.executable, str(LOCAL), "--state", str(state), "--dashboard-port", str(port)]
    subprocess.run([*command, "--workers", "0", "--cpus", "1", "up"], check=True, timeout=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(state / "token"))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run([*command, "down"], check=True, timeout=120)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working directory whose job says which arguments it got and ends with the code that it is told."""
    (tmp_path / "jobs").mkdir()
    code = "import sys\nprint('job got', sys.argv[1:], flush=True)\nsys.exit(int(sys.argv[-1]))\n"
    (tmp_path / "jobs" / "train.py").write_text(code)
    return tmp_path


def run_submit(head: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command itself: a process that used another Ray before keeps that one's token."""
    command = [str(Path(sys.executable).with_name("t2s")), "submit", "train", "--address", head]
    command += ["--working-dir", str(folder), "--", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("code", [0, 2])
def test_log_and_exit_code_come_back(head: str, project: Path, code: int) -> None:
    done = run_submit(head, project, "a b", "lora.r=8", str(code))
    assert done.returncode == code
    assert f"job got ['a b', 'lora.r=8', '{code}']" in done.stdout and "ray job stop t2s-train-" in done.stdout


def test_the_real_entry_point_passes_on_a_configuration_error(head: str) -> None:
    done = run_submit(head, ROOT, "lora.rr=8")
    assert done.returncode == 2 and "unknown key lora.rr" in done.stdout


def test_a_cluster_that_refuses_the_token_names_the_cure(head: str, project: Path) -> None:
    code = f"from t2s.cli.jobs import connect; connect({head!r})"
    bare = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, timeout=60)
    assert "SetupError" in done.stderr and "export RAY_AUTH_MODE=token" in done.stderr


def test_without_a_cluster_the_cure_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(SetupError, match="--address"):
        submit("train", [], None, project)
    with pytest.raises(SetupError, match="no Ray cluster answers"):
        submit("train", [], "http://127.0.0.1:9", project)
    with pytest.raises(SetupError, match="dashboard's address"):
        submit("train", [], "127.0.0.1:6379", project)


def test_a_wrong_verb_or_directory_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        submit("trian", [], "http://127.0.0.1:9", tmp_path)
    with pytest.raises(ConfigError, match="--working-dir"):
        submit("train", [], "http://127.0.0.1:9", tmp_path)
