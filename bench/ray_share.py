"""What Ray costs a training: the same loop inside a Ray Train worker and without Ray, taking turns step by step.

    python -m bench.ray_share [--examples 240] [--threads] [-c FILE] [key.path=value ...]

Both trainings go on at once and never at the same time: a step of one, then the same step of the other, so that what a
shared machine does to one it does to the other. Printed: the median of the pairs' ratios with a 95% interval
(percentile bootstrap), on the clock and in CPU time of the process; and what starting takes. Losses are the same.

``--threads`` counts where Ray's share is, in a training alone: while steps are made, the CPU time of the worker's other
threads, and of Ray's other processes, beside that of the loop's thread.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench.threads import Watch
from bench.turns import open_pipes, take_turns
from t2s.config import Config, load
from t2s.runtime import pin_paths, ray_session

WAYS = ("without Ray", "Ray Train")
WARM = 3
"""Pairs that are left out: the first ones overlap with loading."""


def main() -> None:
    """Measure and print; with ``--way``, do one training and print what it took as JSON."""
    given = _arguments()
    if given.way:
        print(json.dumps(_once(_config(given), given.way, given.turns)))
    elif given.threads:
        _print_threads(json.loads(_start(WAYS[1]).communicate()[0].splitlines()[-1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            _print_pairs(*_both(Path(folder)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=240)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("-c", "--config", default="configs/quickstart.yaml")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _both(folder: Path) -> tuple[dict[str, float], dict[str, float], list[Any], list[Any]]:
    """Each way's metrics and turns. The one that fails ends the other, which would wait for it."""
    pipes = open_pipes(folder, WAYS)
    os.write(pipes[0], b".")
    running = [_start(way, "--turns", str(folder)) for way in WAYS]
    while any(process.poll() is None for process in running):
        time.sleep(1)
        if any(process.poll() for process in running):
            for process in running:
                process.terminate()
            sys.exit("one of the trainings failed")
    alone, ray = (json.loads(process.communicate()[0].splitlines()[-1]) for process in running)
    return alone, ray, *(json.loads((folder / f"{way}.json").read_text("utf-8")) for way in WAYS)


def _start(way: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.ray_share", "--way", way, *words, *sys.argv[1:]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _print_pairs(alone: dict[str, float], ray: dict[str, float], *turns: list[Any]) -> None:
    for way, run in zip(WAYS, (alone, ray), strict=True):
        print(f"{way:<12} loss {run['train_loss']:.6f}, validation loss {run['eval_loss']:.6f}")
    pairs = list(zip(*turns, strict=True))[WARM:-1]  # behind the last one, the first training ends already
    for at, name in enumerate(("on the clock", "CPU time of the process")):
        ratios = [with_ray[at] / without[at] for without, with_ray in pairs]
        low, high = _interval(ratios)
        print(
            f"a step with Ray : without, {name}: {statistics.median(ratios):.4f} ({low:.4f} to {high:.4f}), sum : sum "
            f"{sum(pair[1][at] for pair in pairs) / sum(pair[0][at] for pair in pairs):.4f}, {len(pairs)} pairs"
        )


def _interval(ratios: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """95%, of the median; percentile bootstrap (Efron 1979)."""
    drawn = random.Random(0)
    medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def _print_threads(run: dict[str, float]) -> None:
    print(
        f"{run['cpu_s'] / run['step']:.3f} CPU s a step, {run['start_s']:.1f} s around them; of the loop's CPU time: "
        f"the worker's other threads {100 * run['threads_share']:.2f}%, "
        f"Ray's other processes {100 * run['processes_share']:.2f}% (on other cores)"
    )
    threads = [(name.partition(" ")[2], share) for name, share in run.items() if name.startswith("thread ")]
    print("  threads:", ", ".join(f"{name} {100 * share:.2f}%" for name, share in threads))


def _config(given: argparse.Namespace) -> Config:
    settings = ["training.num_workers=1", "training.report_to=none", "training.max_val_samples=8"]
    wanted = [*settings, f"training.max_train_samples={given.examples}", *given.overrides]
    return pin_paths(load([Path(given.config)], wanted))


def _once(config: Config, way: str, turns: Path | None) -> dict[str, float]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        config = config.model_copy(update={"output_dir": Path(scratch)})
        metrics = _with_ray(config, turns) if way == WAYS[1] else _alone(config, turns)
    return {**metrics, "start_s": time.perf_counter() - started - metrics["wall_s"]}


def _with_ray(config: Config, turns: Path | None) -> dict[str, float]:
    from t2s.train import fit
    from t2s.train.launch import train

    if turns is not None:
        work = fit._work

        def take_turns_and_work(loop_config: dict[str, Any]) -> Any:
            take_turns(turns, WAYS[1], WAYS[0])
            return work(loop_config)

        fit._work = take_turns_and_work
    with ray_session(config):
        watch = Watch(config.output_dir)
        watch.start()
        metrics = train(config, say=_nothing).metrics
        watch.stop()
    return {**metrics, **({} if turns else watch.shares())}


def _alone(config: Config, turns: Path | None) -> dict[str, float]:
    from t2s.train.harness import Alone
    from t2s.train.launch import prepare_texts
    from t2s.train.loop import train_here

    if turns is not None:
        take_turns(turns, *WAYS)
    texts, about = prepare_texts(config)
    loop: dict[str, Any] = {"config": config, "texts": texts, "about": about, "run_dir": None, "journal": None}
    return train_here(loop | {"name": "alone", "stop_board": None}, Alone())


def _nothing(*_: Sequence[str]) -> None:
    pass


if __name__ == "__main__":
    main()
