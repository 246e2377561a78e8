"""``search.mode: workers``: each trial is a training of its own, for bases that need several GPUs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from t2s.config import Config
from t2s.errors import ConfigError
from t2s.search.book import Book
from t2s.search.record import Trial
from t2s.search.setting import rung_ends
from t2s.search.show import rungs_text
from t2s.search.tune import Running


@contextmanager
def open_mode(material: Any, book: Book, say: Callable[[str], None]) -> Iterator[Running]:
    """What trials need besides themselves: a board where those with several workers are asked to stop.

    Raises:
        ConfigError: what only slots can do.
    """
    from ray import tune

    from t2s.search import finalists
    from t2s.search.board import start_stop_board
    from t2s.search.worker import ADAPTER, run_worker_trial
    from t2s.train.estimate import settle

    if material.config.search.finalist_seeds > 1:
        raise ConfigError("search.finalist_seeds above 1 needs search.mode=slots")
    at_a_time = concurrency(material.config)
    config = settle(material.config, material.texts, say, at_a_time * material.config.search.num_workers)
    ends = rungs_text(rung_ends(config, material.num_examples))
    say(f"{config.search.num_trials} trials, measured after {ends} examples, {at_a_time} at a time")
    folder = book.search_dir / "trials"
    board = f"t2s-stop-{book.search_dir.name}"
    keep_alive = start_stop_board(board)

    def compare(chosen: list[Trial]) -> list[Any]:
        losses = {trial.number: trial.loss or 0.0 for trial in chosen}
        adapters = {trial.number: path for trial in chosen if (path := folder / str(trial.number) / ADAPTER).is_dir()}
        if not material.questions or len(adapters) < len(chosen):
            return finalists.compare({number: [] for number in losses}, losses)
        alone = {"num_cpus": config.ray.worker_cpus, "num_gpus": resources(config, 1).get("GPU", 0)}
        return finalists.compare(finalists.ask_adapters(config, adapters, material.questions, alone), losses)

    def export(best: Trial, to: Path, about: dict[str, Any]) -> None:
        made = folder / str(best.number) / ADAPTER
        if made.is_dir():
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(made, to)
        else:
            say(f"trial {best.number} did not reach its last rung: there is no adapter; train with best.yaml")

    trainable = tune.with_parameters(
        run_worker_trial,
        config=config,
        num_examples=material.num_examples,
        ladder=material.ladder,
        texts=material.texts,  # Tune keeps one copy for all trials
        about=material.about,
        folder=folder,
        board=board,
    )
    workers = config.search.num_workers
    # A trial in its own process leaves nothing behind when it is killed.
    asked = board if workers > 1 else None
    yield Running(trainable, resources(config, workers), at_a_time, False, asked, lambda number: None, compare, export)
    del keep_alive


def concurrency(config: Config) -> int:
    """Trials that run at a time: what was asked for, or what the cluster carries."""
    from t2s.runtime import uses_gpu

    there = ray.cluster_resources()
    units = there.get("GPU", 0) if uses_gpu(config) else there.get("CPU", 1) / config.ray.worker_cpus
    carried = max(1, int(units // config.search.num_workers))
    return min(carried, config.search.max_concurrent_trials or carried, config.search.num_trials)


def resources(config: Config, workers: int) -> dict[str, float]:
    """What Tune sets aside for a trial; a Ray Train run asks for its workers' CPUs and GPUs itself."""
    from t2s.runtime import HEAD_SHARE, uses_gpu

    if workers > 1:
        return HEAD_SHARE
    return {"CPU": config.ray.worker_cpus} | ({"GPU": 1.0} if uses_gpu(config) else {})
