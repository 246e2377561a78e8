"""Answer the questions of a split with the base and with the adapter, on as many CPUs or GPUs as Ray has.

Each side is split into shards, each shard is one Ray task that loads the model once and streams its answers back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.generate.core import Generation, Request

Answers = dict[str, list[Generation]]
"""Side (``base``, ``tuned``) to one generation a request, in order."""


def answer_all(
    config: Config,
    adapters: dict[str, Path | None],
    requests: Sequence[Request],
    on_progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answer ``requests`` once for each side of ``adapters``; ``on_progress(done, of)`` counts over all sides."""
    import ray

    shards = list(_shards(config, adapters, requests))
    streams: dict[Any, tuple[str, list[int]]] = {
        _remote(config).remote(config, adapters[side], [requests[i] for i in indices]): (side, indices)
        for side, indices in shards
    }
    found: dict[tuple[str, int], Generation] = {}
    total = len(requests) * len(adapters)
    while streams:
        stream: Any = ray.wait(list(streams), num_returns=1)[0][0]
        side, indices = streams[stream]
        try:
            batch = ray.get(next(stream))
        except StopIteration:
            del streams[stream]
            continue
        found |= {(side, indices[position]): answer for position, answer in batch}
        if on_progress:
            on_progress(len(found), total)
    return {side: [found[side, i] for i in range(len(requests))] for side in adapters}


def _shards(
    config: Config, adapters: dict[str, Path | None], requests: Sequence[Request]
) -> Iterator[tuple[str, list[int]]]:
    """Every side in equal, interleaved parts, as many as there are places to run them."""
    parts = max(1, min(_places(config) // len(adapters), len(requests) // config.inference.batch_size))
    for side in adapters:
        for part in range(parts):
            yield side, list(range(part, len(requests), parts))


def _places(config: Config) -> int:
    import ray

    from t2s.runtime import uses_gpu

    resources = ray.cluster_resources()
    return int(resources.get("GPU", 0) if uses_gpu(config) else resources.get("CPU", 1) // config.ray.worker_cpus)


def _remote(config: Config) -> Any:
    import ray

    from t2s.runtime import uses_gpu

    return ray.remote(_answer_shard).options(
        num_cpus=config.ray.worker_cpus,
        num_gpus=1 if uses_gpu(config) else 0,
        num_returns="streaming",
        max_retries=2,
    )


def _answer_shard(
    config: Config, adapter: Path | None, requests: list[Request]
) -> Iterator[list[tuple[int, Generation]]]:
    """Runs in a Ray task: yields ``(position, answer)`` pairs, a batch at a time."""
    import torch

    from t2s.generate import load_generator

    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    generator = load_generator(config, adapter)
    yield from generator.stream(requests)
