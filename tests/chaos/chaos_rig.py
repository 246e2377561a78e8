"""The real command in processes of its own, faults from outside, and what is left when it has ended."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

MARK = "T2S_CHAOS_MARK"
STEPS = 96

Record = Callable[[str, str, str], None]
"""``record_row(fault, must happen, measured)``."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run gave that nobody disturbed."""

    losses: dict[int, float]
    eval_loss: float
    seconds: float


class Command:
    """One ``t2s`` command. Every process that it starts, Ray's too, carries its mark in the environment."""

    def __init__(self, arguments: list[str], log: Path, **environment: str) -> None:
        self.mark = secrets.token_hex(8)
        self.log = log
        self.began = time.monotonic()
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("t2s")), *arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1", MARK: self.mark, **environment},
                cwd=log.parent,
                start_new_session=True,
            )

    def wait(self, timeout_s: float = 540) -> int:
        """Its exit code (negative: ended by that signal)."""
        return self.process.wait(timeout_s)

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait_for(self, met: Callable[[], bool], timeout_s: float = 400) -> None:
        """Until ``met()``; fails with what was said if the command ends before."""
        end = time.monotonic() + timeout_s
        while not met():
            assert self.process.poll() is None, f"the command ended before it could be disturbed:\n{self.said()}"
            assert time.monotonic() < end, f"nothing in {timeout_s} s:\n{self.said()}"
            time.sleep(0.01)

    def processes(self) -> list[psutil.Process]:
        """All that carry the mark and live."""
        return list(_marked(self.mark))

    def workers(self) -> list[psutil.Process]:
        """Ray Train's workers."""
        return [process for process in self.processes() if "RayTrainWorker" in " ".join(_line(process))]

    def left_over(self, grace_s: float = 0) -> list[str]:
        """Processes that outlive the command by ``grace_s``."""
        end = time.monotonic() + grace_s
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        return [" ".join(_line(process))[:120] for process in self.processes()]

    def end(self) -> None:
        """Kill what is left, by id."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait(30)


class Bench:
    """A folder with a configuration, and the commands that a test runs there."""

    def __init__(self, folder: Path, model: Path, cache: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.config = folder / "tiny.yaml"
        self._commands: list[Command] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(settings(model, self.runs, cache)), "utf-8")

    def train(self, *arguments: str, **environment: str) -> Command:
        """``t2s train -c tiny.yaml ...``."""
        return self.run("train", "-c", str(self.config), *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> Command:
        log = self.folder / f"command-{len(self._commands)}.log"
        self._commands.append(Command(list(arguments), log, **environment))
        return self._commands[-1]

    def end(self) -> None:
        for command in self._commands:
            command.end()


def settings(model: Path, runs: Path, cache: Path) -> dict[str, Any]:
    """96 steps of two workers with dropout, a checkpoint every four."""
    return {
        "model": {"name": str(model)},
        "output_dir": str(runs),
        "data": {
            "pipeline": "synthetic",
            "cache_dir": str(cache),
            "options": {"num_train": 128, "num_val": 16, "num_test": 16},
        },
        "training": {
            "batch_size": 4, "gradient_accumulation_steps": 1, "num_workers": 2, "epochs": 6, "learning_rate": 3e-3,
            "logging_steps": 1, "save_steps": 4, "use_gpu": False, "report_to": "none",
        },
        "lora": {"target_modules": "all-linear", "dropout": 0.1},
        "ray": {"num_cpus": 2},
    }  # fmt: skip


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """The complete lines of a run's journal, strictly: no NaN, no line that is not JSON."""
    path = run_dir / "metrics.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line, parse_constant=_refuse) for line in text[: text.rfind("\n") + 1].splitlines()]


def last_step(run_dir: Path) -> int:
    return max((row["step"] for row in rows(run_dir)), default=0)


def losses(run_dir: Path) -> dict[int, float]:
    """Loss by step; each step stands in the journal once, and steps never decrease."""
    found = [(row["step"], row["loss"]) for row in rows(run_dir) if "loss" in row]
    steps = [row["step"] for row in rows(run_dir)]
    assert steps == sorted(steps), f"steps decrease: {steps}"
    assert len(dict(found)) == len(found), f"a step stands twice: {steps}"
    return dict(found)


def eval_loss(run_dir: Path) -> float:
    (loss,) = [row["eval_loss"] for row in rows(run_dir) if "eval_loss" in row]
    return float(loss)


def farthest(first: dict[int, float], second: dict[int, float]) -> float:
    """The largest difference between two runs' losses, which must be of the same steps."""
    assert first.keys() == second.keys()
    return max(abs(first[step] - second[step]) for step in first)


def _marked(mark: str) -> Iterator[psutil.Process]:
    wanted = f"{MARK}={mark}".encode()
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if wanted in environment and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (OSError, psutil.NoSuchProcess):
            continue


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _refuse(constant: str) -> float:
    raise AssertionError(f"the journal holds a bare {constant}")
