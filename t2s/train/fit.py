"""Ray Train's part of a training: what its workers run, with how much of the cluster, and why they failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.train.harness import BatchError, PeerLost
from t2s.train.texts import TrainingTexts


def fit(trainer: Any) -> Any:
    """Run a ``TorchTrainer`` and return Ray's result; what a worker could not do is raised here."""
    from ray.train.v2.api.exceptions import TrainingFailedError

    # Ray would answer Ctrl-C by ending this process with code 0 or 1; here it is a KeyboardInterrupt as everywhere.
    trainer._register_sigint_handler = lambda controller: None
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise _cause(error) from None
    if isinstance(result.return_value, T2SError):
        raise result.return_value
    return result


def build_ray_trainer(
    config: Config,
    texts: Any,
    about: dict[str, Any],
    storage: Path,
    name: str,
    journal: Any = None,
    callbacks: Any = None,
    stop_board: str | None = None,
    trial: dict[str, Any] | None = None,
) -> Any:
    """The ``TorchTrainer`` of one training, whose checkpoints and adapter go to ``storage``; Ray's own record of it is
    ``storage/name``.

    ``stop_board`` makes it a trial of a search: it asks the actor of that name whether to stop, and writes no
    checkpoints; ``trial`` is what else the loop is told of one.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from t2s.runtime import uses_gpu

    gpu = uses_gpu(config)
    reference = ray.put(texts) if isinstance(texts, TrainingTexts) else texts
    return TorchTrainer(
        _work,  # type: ignore[arg-type]  # what it returns is Result.return_value, which the types do not know
        train_loop_config={
            "config": config,
            "texts": reference,
            "about": about,
            "journal": journal,
            "name": name,
            "run_dir": storage if stop_board is None else None,
            "stop_board": stop_board,
            **(trial or {}),
        },
        scaling_config=ScalingConfig(
            num_workers=workers
            if isinstance(workers := config.training.num_workers, int)
            else (workers[0], workers[1]),  # type: ignore[arg-type]  # a pair is elastic
            use_gpu=gpu,
            resources_per_worker={"CPU": config.ray.worker_cpus} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            # A controller that fails for ever would hang the run: its own restarts are bounded too.
            failure_config=FailureConfig(max_failures=config.training.max_failures, controller_failure_limit=3),  # type: ignore[call-arg]
            callbacks=callbacks or [],
        ),
    )


def _work(loop_config: dict[str, Any]) -> dict[str, float] | T2SError:
    """What runs in a worker. Only there are torch, transformers and TRL imported, seconds of work for each process."""
    from t2s.train.loop import train_loop

    return train_loop(loop_config)


def _cause(error: Any) -> RunError:
    """One line about the worker that failed first, not about those that then missed it."""
    failures = {rank: _origin(failure) for rank, failure in (getattr(error, "worker_failures", None) or {}).items()}
    if not failures:
        return RunError(f"training failed: {_last_line(error)}")
    rank = min(failures, key=lambda rank: (_distance(failures[rank]), rank))
    found = failures[rank]
    what = _last_line(found) if _distance(found) else _first_line(found)
    cure = "cure it and go on with t2s train --resume; training.max_failures allows more restarts"
    return RunError(f"training failed on worker {rank}: {what}: {cure}")


def _origin(failure: BaseException) -> BaseException:
    """The exception that a worker raised; Ray wraps it with its traceback."""
    return getattr(failure, "_base_exc", failure)


def _distance(error: BaseException) -> int:
    """0 for an error that explains itself, 1 for any other, 2 for one that only says that another worker is gone."""
    if isinstance(error, T2SError | BatchError):
        return 0
    return 2 if isinstance(error, PeerLost) or "gloo" in str(error) else 1


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
