"""One Ray session around a command: the cluster that was named, or a local Ray that ends with the command."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2s.config import Config, ServeConfig
from t2s.errors import SetupError
from t2s.storage import remote

HEAD_SHARE = {"node:__internal_head__": 0.0001}
"""A resource that every Ray head has. What must run beside the head's files asks for a sliver of it."""

_API_SERVER = "RAY_API_SERVER_ADDRESS"


def cluster_address(config: Config) -> str | None:
    """Of the cluster that is named, or that this job runs on; None is a Ray of the command's own."""
    return config.ray.address or os.environ.get("RAY_ADDRESS") or None


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Connect to ``ray.address`` or start a local Ray; a session that is already there is used and left alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray Train and Tune print what t2s shows itself; their warnings still come through.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # A stopped trial's CPUs come back only when Ray's cleaner finds them; the next one may wait longer than 60 s. An
    # elastic training that lost a node waits as long for a worker there before it goes on with those that are left.
    patience_s = "300" if isinstance(config.training.num_workers, int) else "60"
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", patience_s)
    address = cluster_address(config)
    if not address and "ray" not in sys.modules:
        # A local Ray asks for a token by default and warns that it does; asked for by name, it is silent. It reads that
        # when it is imported: said later, only the processes that it starts would know, and refuse this one.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        if address:
            _join(address)
        else:
            _start_local(config)
    except Exception as error:  # fault boundary: a node that does not start raises a bare Exception
        where = f"ray.address={address}" if address else "a local Ray"
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SetupError(f"{where}: cannot connect or start: {first}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Connect to a cluster, whose processes for this command are told which dashboard is theirs; see _start_local."""
    import ray

    url = None if address.startswith("ray://") else _dashboard_of(address)
    told = {"env_vars": {_API_SERVER: url}} if url else None
    # A job may have been told already, by its own environment: Ray refuses a second word unless it may override.
    with _environment("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1"):
        ray.init(address=address, runtime_env=told, log_to_driver=False, logging_level=logging.WARNING)


def _dashboard_of(address: str) -> str | None:
    """The dashboard that the cluster's own store names; None of a cluster without one."""
    from ray._private import ray_constants, services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    store = services.canonicalize_bootstrap_address_or_die(address)
    host, _, port = store.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()  # where nobody is, the client would wait for minutes
    found = GcsClient(address=store).internal_kv_get(
        ray_constants.DASHBOARD_ADDRESS.encode(), ray_constants.KV_NAMESPACE_DASHBOARD
    )
    return f"http://{found.decode()}" if found else None


def _start_local(config: Config) -> None:
    """The dashboard stays on: Ray Train frees a stopped trial's resources by asking its State API.

    It asks the Ray that the environment names, and otherwise the one that started last on this machine: with two of
    them it gave up and the next trial waited for ever, so Ray's processes are told which one is theirs.
    """
    import ray

    try:
        _init_local(config, _dashboard_port())
    except Exception:  # fault boundary: Ray raises a bare one if another Ray took the port in between
        ray.shutdown()
        _init_local(config, _dashboard_port())


def _init_local(config: Config, port: int) -> None:
    import ray

    with _environment(_API_SERVER, f"http://127.0.0.1:{port}"):
        ray.init(
            address="local",
            num_cpus=config.ray.num_cpus,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=port,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )


def _dashboard_port() -> int:
    """Ray's usual port if it is free, else one outside what Ray's workers and the system give away."""
    for port in (8265, *random.SystemRandom().sample(range(20_000, 32_000), 20)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SetupError("a local Ray: found no free port for its dashboard")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set one environment variable for the block, in which processes are started that inherit it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def pin_paths(config: Config) -> Config:
    """``config`` with absolute paths: Ray's workers run in other directories than the command."""
    model = config.model
    if Path(model.name).expanduser().is_dir():
        model = model.model_copy(update={"name": str(_absolute(Path(model.name)))})
    path = config.data.path
    data = config.data.model_copy(
        update={
            "path": path if path is None or remote(path) else _absolute(path),
            "cache_dir": _absolute(config.data.cache_dir),
        }
    )
    return config.model_copy(
        update={
            "output_dir": _absolute(config.output_dir),
            "model": model,
            "data": data,
            "serve": _pinned_serve(config.serve),
        }
    )


def _pinned_serve(serve: ServeConfig) -> ServeConfig:
    return serve.model_copy(
        update={
            "adapter": _pinned_adapter(serve.adapter),
            "adapters": {name: _pinned_adapter(each) for name, each in serve.adapters.items()},
            "token_file": _absolute(serve.token_file) if serve.token_file else None,
            "databases": {name: _absolute(path) for name, path in serve.databases.items()},
        }
    )


def _pinned_adapter(reference: str) -> str:
    """A directory's path; an alias, a number and ``none`` mean the same everywhere."""
    from t2s.model.adapter import names_directory

    return str(_absolute(Path(reference))) if names_directory(reference) else reference


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


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
