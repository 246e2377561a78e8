"""``t2s train --dry-run``: what would be trained, how long it would take, and where; nothing is started or written."""

from __future__ import annotations

import os
from contextlib import nullcontext

from t2s.cli.console import out, say
from t2s.config import Config, dump
from t2s.runtime import cluster_address, pin_paths, ray_session
from t2s.track.files import without_secrets


def dry_run_verb(config: Config) -> None:
    """Print the resolved configuration, then the plan.

    Ray is asked only if a cluster is named; data and a packaged base are cached as in a training.
    """
    from t2s.train.estimate import estimate, lines, settle_checkpointing
    from t2s.train.launch import prepare_texts
    from t2s.train.place import find_place

    pinned = pin_paths(config)
    address = cluster_address(config)
    with ray_session(pinned) if address else nullcontext():
        texts, _ = prepare_texts(pinned)
        place = find_place(pinned)
        found = estimate(pinned, texts, place)
        decided, why = settle_checkpointing(pinned, found, place)
        where = _where(pinned, address, place.device)
    out.print(dump(without_secrets(config)), markup=False, end="")
    for name, value in (*lines(decided, found, place, len(texts.train)), ("checkpointing", why), ("launch", where)):
        out.print(f"# {name:<14} {value}", markup=False)
    if texts.num_too_long:
        say(f"{texts.num_too_long} examples left out: over training.max_length={config.training.max_length} tokens")
    say("a dry run: nothing was started or written")


def _where(config: Config, address: str | None, device: str) -> str:
    """Workers and what each takes, and what the Ray that they would run on has."""
    workers = config.training.num_workers
    count = f"{workers}" if isinstance(workers, int) else f"{workers[0]} to {workers[1]}"
    takes = f"{config.ray.worker_cpus:g} CPU" + (" and 1 GPU" if device == "cuda" else "")
    has = _resources(config, bool(address))
    least = workers if isinstance(workers, int) else workers[0]
    fits = least * config.ray.worker_cpus <= has["CPU"] and (device != "cuda" or least <= has["GPU"])
    ray = f"the Ray at {address}" if address else "a local Ray"
    return (
        f"{count} worker(s) of {takes} on {ray} with {has['CPU']:g} CPUs and {has['GPU']:g} GPUs"
        f"{'' if fits else ': they do not fit, lower training.num_workers or ray.worker_cpus'}"
    )


def _resources(config: Config, connected: bool) -> dict[str, float]:
    """CPUs and GPUs of the connected Ray, or of the local one that would be started."""
    if connected:
        import ray

        there = ray.cluster_resources()
        return {"CPU": there.get("CPU", 0), "GPU": there.get("GPU", 0)}
    import torch

    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"CPU": config.ray.num_cpus or here, "GPU": torch.cuda.device_count()}
