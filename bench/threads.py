"""Where the CPU time of a Ray Train worker goes beside its loop: looks at its threads, and at Ray's other processes."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_S = 0.5


@dataclass(frozen=True)
class _Look:
    """CPU seconds so far, at the moment when ``step`` was the newest in the journal."""

    step: int
    loop: float
    others: dict[str, float]
    """Of the worker's other threads, by name."""
    processes: float


class Watch(threading.Thread):
    """Looks at the worker and at Ray's other processes while a training makes steps below ``runs``."""

    def __init__(self, runs: Path) -> None:
        super().__init__(daemon=True)
        self.runs, self.looks, self._ended = runs, list[_Look](), threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            if (step := self._step()) and (look := _look(step)):
                self.looks.append(look)

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def shares(self) -> dict[str, float]:
        """Of the loop's CPU time between its first step and its last, when neither loading nor validation goes on."""
        last = self.looks[-1].step
        first, end = self.looks[0], [look for look in self.looks if look.step < last][-1]
        loop = end.loop - first.loop
        others = {f"thread {name}": (spent - first.others.get(name, 0)) / loop for name, spent in end.others.items()}
        return {
            "threads_share": sum(others.values()),
            "processes_share": (end.processes - first.processes) / loop,
            **{name: others[name] for name in sorted(others, key=lambda name: -others[name])[:5]},
        }

    def _step(self) -> int:
        texts = [path.read_text("utf-8") for path in self.runs.glob("*/metrics.jsonl")]
        rows = [line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return max((json.loads(row)["step"] for row in rows), default=0)


def _look(step: int) -> _Look | None:
    """None without a worker. The busiest of its threads is the loop's."""
    spent, processes = list[tuple[float, str]](), 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                spent = sorted(
                    (each.user_time + each.system_time, _name(process, each.id)) for each in process.threads()
                )
            else:
                processes += sum(process.cpu_times()[:2])
        except (psutil.NoSuchProcess, FileNotFoundError):
            continue
    if not spent:
        return None
    others: dict[str, float] = {}
    for seconds, name in spent[:-1]:
        others[name] = others.get(name, 0.0) + seconds
    return _Look(step, spent[-1][0], others, processes)


def _name(process: psutil.Process, thread: int) -> str:
    """As the kernel knows it; the one that has the process's number runs the actor's calls."""
    if thread == process.pid:
        return "main"
    return Path(f"/proc/{process.pid}/task/{thread}/comm").read_text("utf-8").strip()
