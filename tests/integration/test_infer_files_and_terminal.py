"""``t2s infer`` with the tiny model: files of three formats, a batch that is killed, and a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from t2s.cli.infer_batch import part_of
from t2s.cli.main import run
from t2s.generate.engine import Generator

PROGRAM = "import sys; from t2s.cli.main import run; sys.exit(run(sys.argv[1:]))"
SCHEMA = "TABLE: t ( name (text), age (real) )"


@pytest.fixture
def words(tiny_overrides: Callable[[Path], list[str]], tmp_path: Path) -> list[str]:
    own = ["quantization.load_in_4bit=false", "inference.grammar=wikisql", "inference.batch_size=2"]
    return ["infer", "--adapter-path", "none", *tiny_overrides(tmp_path / "runs"), *own]


def test_a_csv_becomes_parquet_and_an_interrupted_batch_goes_on(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f'"Who is {number}, and why?","{SCHEMA}"' for number in range(6)]
    (tmp_path / "in.csv").write_text("\n".join(["question,schema", *lines]) + "\n")
    output = tmp_path / "out.parquet"
    command = [*words, "--input", str(tmp_path / "in.csv"), "--output", str(output)]
    answered, original = [], Generator.stream

    def interrupted(self: Any, requests: Any) -> Any:
        for batch in original(self, requests):
            answered.append(len(batch))
            yield batch
            if sum(answered) == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "stream", interrupted)
        assert run(command) == 130
    assert not output.exists() and len(part_of(output).read_text().splitlines()) == 1 + 4
    capsys.readouterr()
    assert run([*command, "inference.max_new_tokens=9"]) == 2
    assert "another decoding" in capsys.readouterr().err
    assert run(command) == 0
    assert "going on after 4 of 6" in capsys.readouterr().err
    rows = parquet.read_table(output).to_pylist()
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6] and not part_of(output).exists()
    assert all(row["sql"].startswith("SELECT ") and row["adapter"] == "none" for row in rows)
    assert run(command) == 2, "an output is never overwritten"


class Terminal:
    """A command in a pseudo-terminal; :meth:`until` waits for what it shows."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.master, child = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C signals who has the terminal
        )
        os.close(child)
        self.shown = ""

    def until(self, text: str, timeout_s: float = 120.0) -> str:
        """What was shown up to ``text``, and forget it."""
        deadline = time.monotonic() + timeout_s
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if select.select([self.master], [], [], 0.5)[0]:
                self.shown += re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", os.read(self.master, 4096).decode())
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def interrupt(self, until: str) -> str:
        """Press Ctrl-C, again after a while if nothing comes of it: CPython's readline forgets one that finds it
        between two waits until the next key, which two processes on one core can arrange and people cannot."""
        for _ in range(10):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                return self.until(until, timeout_s=10)
        raise AssertionError(f"no {until!r} after ten interrupts: {self.shown!r}")


def test_a_conversation_in_a_terminal(words: list[str], people: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, *words, "--interactive", "--database", str(people / "people.db")]
    terminal = Terminal(command, os.environ | {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "100"})
    try:
        terminal.until("t2s> ")
        terminal.type(".schema\n")
        assert "TABLE: people ( name (text), team (text) )" in terminal.until("t2s> ")
        terminal.type("half a line")
        terminal.until("half a line")
        terminal.interrupt("t2s> ")
        terminal.type(".timing on\n")
        terminal.until("t2s> ")
        terminal.type("Who is in the red team?\n")
        answer = terminal.until("written in")
        assert "SELECT " in answer and ("rows" in answer or "not executed" in answer)
        terminal.until("t2s> ")
        terminal.type(".tabels\n")
        assert "did you mean '.tables'" in terminal.until("t2s> ")
        terminal.type("\x1b[A\x1b[A\x01.quit\x0b\n")  # an earlier line comes back, is gone to the start of, and cut
        assert terminal.process.wait(60) == 0
    finally:
        if terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGKILL)
            terminal.process.wait()
        os.close(terminal.master)
    history = (tmp_path / "t2s" / "history").read_text().splitlines()
    assert history == [".schema", ".timing on", "Who is in the red team?", ".tabels", ".quit"]
    assert (tmp_path / "t2s" / "history").stat().st_mode & 0o077 == 0


def test_json_lines_on_standard_output_take_a_schema_for_all(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"question": "Who?", "id": "a"}\n{"question": "Why?"}\n')
    assert run([*words, "--input", str(tmp_path / "in.jsonl"), "--schema", SCHEMA]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == ["a", 2] and all(row["sql"] for row in rows)
