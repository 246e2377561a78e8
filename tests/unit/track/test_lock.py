"""One process a run directory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.errors import ConfigError
from t2s.track import new_run_dir
from t2s.track.lock import FILE_NAME, hold

HOLD = """
import sys, time
from pathlib import Path
from t2s.track.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds ``tmp_path / "run"``."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    said = f"process {holder.pid} on {socket.gethostname()}, since "
    with pytest.raises(ConfigError, match=said), hold(tmp_path / "run"):
        pass
    with pytest.raises(ConfigError, match=said):
        new_run_dir(tmp_path, "train", "run")


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / FILE_NAME).exists()
    with hold(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / FILE_NAME).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_process_that_got_a_dead_holders_number_does_not_hold_it(tmp_path: Path) -> None:
    stale = {"pid": os.getppid(), "host": socket.gethostname(), "started": 1, "since": "then"}
    (tmp_path / FILE_NAME).write_text(json.dumps(stale))
    with hold(tmp_path):
        pass


def test_a_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": 1, "since": "then"}))
    with pytest.raises(ConfigError, match=r"process 1 on elsewhere.*remove .*run\.lock"), hold(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_lock_that_was_killed_while_it_was_written_is_nobodys(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with hold(tmp_path):
        pass


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold(tmp_path):
        raise KeyError
    with hold(tmp_path):
        pass
