"""What Ray costs a training: the same loop inside a Ray Train worker and without Ray, in turn, each in a new process.

    python -m bench.ray_share [--examples 48] [--rounds 2] [-c FILE] [key.path=value ...]

Prints CPU and wall seconds a step once the loop runs, their ratios, and what starting takes: everything from the call
to the first step and from the last step to the end. The losses are the same numbers, and printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from t2s.config import Config, load
from t2s.runtime import pin_paths, ray_session

WAYS = ("without Ray", "Ray Train")


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
        return train(config, say=_nothing).metrics


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
