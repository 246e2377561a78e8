"""Start a training: data once on the driver, then Ray Train's workers, then the adapter in the run directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.train.texts import TrainingTexts

ADAPTER = "adapter"
"""Name of the adapter's directory in a run, and inside the last checkpoint that a run reports."""


@dataclass(frozen=True)
class TrainResult:
    """What a training left."""

    run_dir: Path
    adapter: Path
    run_id: str | None
    metrics: dict[str, float]


def prepare_texts(config: Config) -> tuple[TrainingTexts, dict[str, Any]]:
    """Data and tokenizer checks of a run: ``(texts, about)``, ``about`` being the manifest's account of the data."""
    from t2s.data.pipelines import build_pipeline, fingerprint
    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer
    from t2s.train.preflight import check_tokens
    from t2s.train.texts import build_texts

    files = find_base(config.model)
    tokenizer = load_tokenizer(files)
    train, val, _ = build_pipeline(config.data).prepare()
    texts = build_texts(config, train, val, tokenizer)
    check_tokens(tokenizer, texts.train[:8])
    about = {
        "data": {
            "pipeline": config.data.pipeline,
            "fingerprint": fingerprint(train),
            "train": len(texts.train),
        }
    }
    return texts, about


def train(
    config: Config,
    run_name: str | None = None,
    say: Callable[[str], None] = print,
    on_metrics: Callable[[dict[str, Any]], None] | None = None,
) -> TrainResult:
    """Train one adapter and return where it lies.

    ``say`` gets one line for each thing that begins, ``on_metrics`` each new line of the run's journal.

    Ray must be connected (:func:`t2s.runtime.ray_session`) and paths absolute (:func:`t2s.runtime.pin_paths`).

    Raises:
        T2SError: bad data or settings before anything is written; :class:`RunError` if the training fails.
    """
    from t2s.runtime import uses_gpu
    from t2s.track.files import new_run_dir, remember_run, write_run_files
    from t2s.track.follow import following
    from t2s.track.journal import FILE_NAME
    from t2s.track.runs import Tracker, tracking_uri

    uses_gpu(config)  # refuses a device or a precision that this Ray does not have
    texts, about = prepare_texts(config)
    run_dir = new_run_dir(config.output_dir, "train", run_name)
    write_run_files(run_dir, config)
    tracker = Tracker(config)
    run_id = tracker.start_run(run_dir.name, "train", config.model_dump(mode="json"), key=str(run_dir))
    remember_run(run_dir, run_id, tracking_uri(config))
    tracker.log_artifact(run_id, run_dir / "config.yaml")
    tracker.log_artifact(run_id, run_dir / "env.json")
    _announce(config, texts, run_dir, say)
    try:
        with following(run_dir / FILE_NAME, on_metrics):
            metrics = _fit(config, texts, about | {"run": run_dir.name, "run_id": run_id}, run_dir, run_id)
    except BaseException as error:
        tracker.finish(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    tracker.log_metrics(run_id, {f"final_{key}": value for key, value in metrics.items()})
    tracker.log_artifacts(run_id, run_dir / "adapter", "adapter")
    tracker.finish(run_id)
    return TrainResult(run_dir, run_dir / "adapter", run_id, metrics)


def _announce(config: Config, texts: TrainingTexts, run_dir: Path, say: Callable[[str], None]) -> None:
    say(f"run {run_dir}")
    say(
        f"{len(texts.train)} training and {len(texts.val)} validation examples, {config.training.num_workers} worker(s)"
    )
    if texts.num_too_long:
        say(f"{texts.num_too_long} examples left out: over training.max_length={config.training.max_length} tokens")


def _fit(
    config: Config, texts: TrainingTexts, about: dict[str, Any], run_dir: Path, run_id: str | None
) -> dict[str, float]:
    """Run Ray Train, move the adapter into ``run_dir`` and return the final metrics."""
    import ray

    from t2s.track.journal import FILE_NAME
    from t2s.track.runs import tracking_uri
    from t2s.train.journal_actor import start_journal

    journal = start_journal(
        run_dir / FILE_NAME,
        report_to=config.training.report_to,
        uri=tracking_uri(config),
        run_id=run_id,
        wandb_project=config.tracking.wandb_project,
        name=run_dir.name,
        directory=run_dir,
    )
    try:
        result = fit(build_ray_trainer(config, texts, about, run_dir, "ray", journal))
    finally:
        ray.get(journal.close.remote())
    return collect(result, run_dir / "adapter")


def fit(trainer: Any) -> Any:
    """Run a ``TorchTrainer`` and return Ray's result; what a worker could not do is raised here."""
    from ray.train.v2.api.exceptions import TrainingFailedError

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
) -> Any:
    """The ``TorchTrainer`` of one training; what it reports goes to ``storage/name``.

    ``stop_board`` makes it a trial of a search: it asks the actor of that name whether to stop, and reports no
    checkpoints on the way.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
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
            "is_trial": stop_board is not None,
            "stop_board": stop_board,
        },
        scaling_config=ScalingConfig(
            num_workers=config.training.num_workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": config.ray.worker_cpus} | ({"GPU": 1} if gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            # A controller that fails for ever would hang the run: its own restarts are bounded too.
            failure_config=FailureConfig(max_failures=config.training.max_failures, controller_failure_limit=3),  # type: ignore[call-arg]
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=callbacks or [],
        ),
    )


def _work(loop_config: dict[str, Any]) -> T2SError | None:
    """What runs in a worker. Only there are torch, transformers and TRL imported, seconds of work for each process."""
    from t2s.train.loop import train_loop

    return train_loop(loop_config)


def collect(result: Any, to: Path) -> dict[str, float]:
    """Copy the finished adapter out of Ray's storage, check it, and return the run's last metrics."""
    from t2s.model.adapter import read_manifest

    with result.checkpoint.as_directory() as directory:
        shutil.copytree(Path(directory) / ADAPTER, to)
    read_manifest(to)
    return {key: float(value) for key, value in result.metrics.items() if isinstance(value, int | float)}


def _cause(error: Any) -> RunError:
    """One line that names the worker that failed last and what it said last."""
    failures = getattr(error, "worker_failures", None) or {}
    for rank, failure in failures.items():
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        return RunError(f"training failed on worker {rank}: {lines[-1]}")
    return RunError(f"training failed: {(str(error).strip().splitlines() or [type(error).__name__])[-1]}")
