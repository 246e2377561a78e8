"""What Ray costs a training: the same loop inside a Ray Train worker and without Ray, in turn, each in a new process.

    python -m bench.ray_share [--examples 48] [--rounds 2] [-c FILE] [key.path=value ...]

Prints CPU and wall seconds a step once the loop runs, their ratios, and what starting takes: everything from the call
to the first step and from the last step to the end. The losses are the same numbers, and printed.

Two rounds on a shared machine differ by more than what Ray takes, so that is also counted where it happens: while steps
are made, the CPU time of the worker's other threads, and of Ray's other processes, beside that of the loop's thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from t2s.config import Config, load
from t2s.runtime import pin_paths, ray_session

WAYS = ("without Ray", "Ray Train")
LOOK_S = 0.5


def main() -> None:
    """Measure and print; with ``--way``, do one training and print what it took as JSON."""
    given = _arguments()
    if given.way:
        print(json.dumps(_once(_config(given), given.way)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            found[way].append(_in_new_process(way))
            print(_line(way, found[way][-1]), flush=True)
    best = {way: {key: min(run[key] for run in runs) for key in ("cpu_s", "wall_s")} for way, runs in found.items()}
    for key in ("cpu_s", "wall_s"):
        print(f"Ray Train : without  {best['Ray Train'][key] / best['without Ray'][key]:.4f} x {key} (best of rounds)")
    for run in found["Ray Train"]:
        print(
            f"of the loop's CPU time: the worker's other threads {100 * run['threads_share']:.2f}%, "
            f"Ray's other processes {100 * run['processes_share']:.2f}% (on other cores)"
        )
        threads = [(name.partition(" ")[2], share) for name, share in run.items() if name.startswith("thread ")]
        print("  threads:", ", ".join(f"{name} {100 * share:.2f}%" for name, share in threads))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-c", "--config", default="configs/quickstart.yaml")
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _config(given: argparse.Namespace) -> Config:
    settings = ["training.num_workers=1", "training.report_to=none", "training.max_val_samples=8"]
    wanted = [*settings, f"training.max_train_samples={given.examples}", *given.overrides]
    return pin_paths(load([Path(given.config)], wanted))


def _in_new_process(way: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.ray_share", "--way", way, *sys.argv[1:]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _once(config: Config, way: str) -> dict[str, float]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        config = config.model_copy(update={"output_dir": Path(scratch)})
        metrics = _with_ray(config) if way == "Ray Train" else _alone(config, Path(scratch))
    return {**metrics, "start_s": time.perf_counter() - started - metrics["wall_s"]}


def _with_ray(config: Config) -> dict[str, float]:
    from t2s.train.launch import train

    with ray_session(config):
        watch = _Watch(config.output_dir)
        watch.start()
        metrics = train(config, say=_nothing).metrics
        watch.stop()
    return {**metrics, **watch.shares()}


@dataclass(frozen=True)
class _Look:
    """CPU seconds so far, at the moment when ``step`` was the newest in the journal."""

    step: int
    loop: float
    others: dict[str, float]
    """Of the worker's other threads, by name."""
    processes: float


class _Watch(threading.Thread):
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


def _alone(config: Config, scratch: Path) -> dict[str, float]:
    from t2s.train.harness import Alone
    from t2s.train.launch import prepare_texts
    from t2s.train.loop import train_here

    texts, about = prepare_texts(config)
    loop: dict[str, Any] = {"config": config, "texts": texts, "about": about, "run_dir": None, "journal": None}
    return train_here(loop | {"name": "alone", "stop_board": None}, Alone())


def _nothing(*_: Sequence[str]) -> None:
    pass


def _line(way: str, run: dict[str, float]) -> str:
    return (
        f"{way:<12} {run['cpu_s'] / run['step']:.3f} CPU s a step, {run['wall_s'] / run['step']:.3f} on the clock, "
        f"{run['start_s']:.1f} s around it, loss {run['train_loss']:.6f}, validation loss {run['eval_loss']:.6f}"
    )


if __name__ == "__main__":
    main()
