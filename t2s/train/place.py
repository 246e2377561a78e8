"""The device that a worker will have: its memory and its speed, measured where the worker will run.

Not covered: clusters of unlike machines; one GPU, or this machine's CPUs, stands for all.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import torch

from t2s.config import Config
from t2s.errors import T2SError
from t2s.model.memory import available_memory
from t2s.model.precision import DTYPES, pick_device, resolve_precision

_SIZE = 1024
_MEASURE_S = 0.3


@dataclass(frozen=True)
class Place:
    """Where one worker trains."""

    device: str
    """``cpu`` or ``cuda``."""
    name: str
    memory: int
    """Bytes that one worker may use: free on its GPU, or its share of what the machine has available."""
    precision: str
    flops: float
    """Floating-point operations a second in large matrix products, on the worker's own CPUs or GPU."""


def look(config: Config, sharing: int | None = None) -> Place:
    """Measure in this process, in about half a second. ``sharing`` workers share this machine; None: all of them.

    Raises:
        SetupError: a device or precision is demanded that is not here.
    """
    device = pick_device(config.training.use_gpu)
    precision = resolve_precision(config.training.precision, device)
    flops = _measure(device, DTYPES[precision], config.ray.worker_cpus)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return Place("cuda", torch.cuda.get_device_name(device), free, precision, flops)
    memory = available_memory() // (sharing or _workers_here(config))
    return Place("cpu", f"{config.ray.worker_cpus:g} CPU(s)", memory, precision, flops)


def find_place(config: Config, sharing: int | None = None) -> Place:
    """As :func:`look`, but on a GPU of the connected Ray if the workers will have one."""
    import ray

    if ray.is_initialized() and config.training.use_gpu is not False and ray.cluster_resources().get("GPU", 0) > 0:
        task: Any = ray.remote(look).options(num_gpus=1, num_cpus=config.ray.worker_cpus, max_retries=0)
        try:
            found: Place = ray.get(task.remote(config, sharing))
            return found
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, T2SError):
                raise error.cause from None
            raise
    return look(config, sharing)


def _workers_here(config: Config) -> int:
    """As many workers as this machine has CPUs for, at most all."""
    cpus = config.ray.num_cpus or os.cpu_count() or 1
    return max(1, min(config.training.max_workers, int(cpus / config.ray.worker_cpus)))


def _measure(device: torch.device, dtype: torch.dtype, cpus: float) -> float:
    """The rate of a square matrix product. On a CPU by CPU time, so that others' work does not count."""
    before, threads = torch.get_num_threads(), max(1, min(int(cpus), os.cpu_count() or 1))
    size = _SIZE if device.type == "cpu" else 8 * _SIZE
    square = torch.ones(size, size, dtype=dtype, device=device)
    torch.set_num_threads(threads)
    square @ square  # the first one loads the kernels
    times: list[float] = []
    while sum(times) < _MEASURE_S:
        start = _clock(device, threads)
        square @ square
        times.append(_clock(device, threads) - start)
    torch.set_num_threads(before)
    return float(2 * size**3 / min(times))


def _clock(device: torch.device, threads: int) -> float:
    """Seconds; on a CPU those that each of ``threads`` has worked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() / threads
