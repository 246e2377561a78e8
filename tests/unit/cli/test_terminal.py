"""The command on a terminal and off it: colours, completion, speed, exit codes."""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; from t2s.cli.main import main; sys.argv[0] = 't2s'; main()"
COMMAND = [sys.executable, "-c", PROGRAM]
QUICK_S = 0.5


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**kept, "TERM": "xterm-256color", **more}


def on_a_terminal(*words: str, **more: str) -> str:
    """What the command writes to a terminal."""
    main, side = pty.openpty()
    with subprocess.Popen([*COMMAND, *words], stdin=side, stdout=side, stderr=side, env=environment(**more)) as process:
        os.close(side)
        read = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:  # the other side is closed
                break
            if not chunk:
                break
            read += chunk
        process.wait(60)
    os.close(main)
    return read.decode()


def test_colours_are_for_terminals_and_for_those_who_want_them() -> None:
    assert "\x1b[31m" in on_a_terminal("nonsense")
    assert "\x1b[" not in on_a_terminal("nonsense", NO_COLOR="1")
    done = subprocess.run([*COMMAND, "nonsense"], capture_output=True, text=True, env=environment())
    assert done.returncode == 2 and "nonsense" in done.stderr and "\x1b" not in done.stderr + done.stdout


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str, at: int) -> list[str]:
        asked = environment(_T2S_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(at))
        return subprocess.run(COMMAND, capture_output=True, text=True, env=asked).stdout.split()

    assert {"train", "track"} == set(completed("t2s tra", 1))
    assert "--dry-run" in completed("t2s train --d", 2)
    assert "install" in completed("t2s bundle ins", 2)


def test_help_takes_less_than_half_a_second() -> None:
    """Of CPU time, the best of three: on a busy machine a clock tells what the others do."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run([*COMMAND, "--help"], capture_output=True).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if took[-1] < QUICK_S:
            break
    assert min(took) < QUICK_S


@pytest.mark.parametrize("words", ["doctor", "data check", "compare", "jobs list", "ask"])
def test_commands_for_programs_offer_json(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    from t2s.cli.main import run

    assert run([*words.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_an_interrupted_command_exits_130_and_a_broken_file_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from t2s.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "app", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.run([]) == 130
    (tmp_path / "gold.jsonl").write_text("{")
    words = ["data", "check", "data.pipeline=jsonl", f"data.path={tmp_path / 'gold.jsonl'}"]
    assert main.run([*words, f"data.cache_dir={tmp_path}"]) == 3
    assert "Traceback" not in capsys.readouterr().err
