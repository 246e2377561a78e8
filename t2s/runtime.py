"""One Ray session around a command: the cluster that was named, or a local Ray that ends with the command."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2s.config import Config
from t2s.errors import SetupError

HEAD_SHARE = {"node:__internal_head__": 0.0001}
"""A resource that every Ray head has. What must run beside the head's files asks for a sliver of it."""


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Connect to ``ray.address`` or start a local Ray; a session that is already there is used and left alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray Train and Tune print what t2s shows itself; their warnings still come through.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    address = config.ray.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            _start_local(config)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"ray.address={address}" if address else "a local Ray"
        raise SetupError(f"{where}: cannot connect or start: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _start_local(config: Config) -> None:
    """The dashboard stays on: Ray Train frees a stopped trial's resources by asking its State API."""
    import ray

    ray.init(
        address="local",
        num_cpus=config.ray.num_cpus,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.WARNING,
    )


def pin_paths(config: Config) -> Config:
    """``config`` with absolute paths: Ray's workers run in other directories than the command."""
    model = config.model
    if Path(model.name).expanduser().is_dir():
        model = model.model_copy(update={"name": str(Path(model.name).expanduser().resolve())})
    data = config.data.model_copy(
        update={
            "path": config.data.path.expanduser().resolve() if config.data.path else None,
            "cache_dir": config.data.cache_dir.expanduser().resolve(),
        }
    )
    databases = {name: path.expanduser().resolve() for name, path in config.serve.databases.items()}
    return config.model_copy(
        update={
            "output_dir": config.output_dir.expanduser().resolve(),
            "model": model,
            "data": data,
            "serve": config.serve.model_copy(update={"databases": databases}),
        }
    )


def uses_gpu(config: Config) -> bool:
    """Whether a worker gets a GPU on the connected Ray; a :class:`SetupError` if one is demanded and there is none."""
    import ray

    there = ray.cluster_resources().get("GPU", 0) > 0
    if config.training.use_gpu is True and not there:
        raise SetupError("training.use_gpu=true, but this Ray has no GPU: set training.use_gpu=auto")
    wants_gpu = config.training.precision in ("bf16", "fp16")
    if wants_gpu and not there:
        raise SetupError(
            f"training.precision={config.training.precision} needs a GPU, and this Ray has none: "
            "set training.precision=auto (fp32 on a CPU)"
        )
    return there and config.training.use_gpu is not False
