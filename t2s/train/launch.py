"""Start a training: data once on the driver, then Ray Train's workers, then the adapter in the run directory."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.train.fit import build_ray_trainer, fit
from t2s.train.record import check_record, fingerprint_examples, write_record, write_result
from t2s.train.resume import Resume, announce_start, resume_command, update_config
from t2s.train.texts import TrainingTexts

log = logging.getLogger("t2s.train")

ADAPTER = "adapter"
"""Name of the adapter's directory in a run."""
RAY = "ray"
"""Name of the directory in a run that Ray Train keeps for itself while it works."""
INTERRUPT_S = 3.0
"""How long an interrupted run waits for MLflow."""


@dataclass(frozen=True)
class TrainResult:
    """What a training left."""

    run_dir: Path
    adapter: Path
    run_id: str | None
    metrics: dict[str, float]


def prepare_texts(config: Config, splits: Any = None) -> tuple[TrainingTexts, dict[str, Any]]:
    """Data and tokenizer checks of a run: ``(texts, about)``, ``about`` being the manifest's account of the data.

    ``splits`` are the pipeline's, for a caller that has them already.
    """
    from t2s.data.pipelines import build_pipeline, fingerprint
    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer
    from t2s.model.skeleton import adapted_layers, build_skeleton
    from t2s.train.preflight import check_encoded
    from t2s.train.texts import build_texts
    from t2s.train.validation import choose_questions

    files = find_base(config.model)
    adapted_layers(build_skeleton(files), config.lora)  # refuses layers that the base does not have
    tokenizer = load_tokenizer(files)
    train, val, _ = splits or build_pipeline(config.data).prepare()
    texts = replace(build_texts(config, train, val, tokenizer), questions=choose_questions(config, val))
    check_encoded(tokenizer, [*texts.train, *texts.val])
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
    resume: Resume | None = None,
) -> TrainResult:
    """Train one adapter and return where it lies; with ``resume`` go on with a run that was ended.

    ``say`` gets one line for each thing that begins, ``on_metrics`` each new line of the run's journal.

    Ray must be connected (:func:`t2s.runtime.ray_session`) and paths absolute (:func:`t2s.runtime.pin_paths`).

    Raises:
        T2SError: bad data or settings before anything is written; :class:`RunError` if the training fails.
    """
    from t2s.runtime import uses_gpu
    from t2s.track.files import new_run_dir
    from t2s.track.lock import hold

    uses_gpu(config)  # refuses a device or a precision that this Ray does not have
    if resume is None:
        texts, about = prepare_texts(config)
        run_dir = new_run_dir(config.output_dir, "train", run_name)
        with hold(run_dir):
            _write_files(config, texts, run_dir)
            _announce(config, texts, run_dir, say)
            return _tracked(config, texts, about, run_dir, say, on_metrics)
    with hold(resume.run_dir):
        texts, about = prepare_texts(config)
        check_record(resume.run_dir, fingerprint_examples(texts), _base_fingerprint(config))
        _announce(config, texts, resume.run_dir, say)
        for line in resume.changed:
            say(f"changed since the run began: {line}")
        announce_start(resume.run_dir, say)
        update_config(resume.run_dir, config)
        # Ray keeps its own record of a training under its name and would go on with that one.
        shutil.rmtree(resume.run_dir / RAY, ignore_errors=True)
        return _tracked(config, texts, about, resume.run_dir, say, on_metrics)


def _write_files(config: Config, texts: TrainingTexts, run_dir: Path) -> None:
    from t2s.track.files import write_run_files

    write_run_files(run_dir, config)
    write_record(run_dir, config, fingerprint_examples(texts), _base_fingerprint(config))


def _base_fingerprint(config: Config) -> str:
    from t2s.model.base import find_base

    return str(find_base(config.model).fingerprint)


def _tracked(
    config: Config,
    texts: TrainingTexts,
    about: dict[str, Any],
    run_dir: Path,
    say: Callable[[str], None],
    on_metrics: Callable[[dict[str, Any]], None] | None,
) -> TrainResult:
    """The training as one MLflow run, the same one when it is resumed."""
    from t2s.track.files import remember_run
    from t2s.track.follow import following
    from t2s.track.journal import FILE_NAME
    from t2s.track.runs import Tracker, tracking_uri
    from t2s.train.estimate import settle
    from t2s.train.validation import describe_choice

    tracker = Tracker(config)
    run_id = tracker.start_run(run_dir.name, "train", config.model_dump(mode="json"), key=str(run_dir))
    remember_run(run_dir, run_id, tracking_uri(config))
    tracker.log_artifact(run_id, run_dir / "config.yaml")
    tracker.log_artifact(run_id, run_dir / "env.json")
    try:
        config = settle(config, texts, say)
        with following(run_dir / FILE_NAME, _watching(config, say, on_metrics)):
            metrics = _fit(config, texts, about | {"run": run_dir.name, "run_id": run_id}, run_dir, run_id)
    except KeyboardInterrupt:
        say(f"stopped; go on with: {resume_command(run_dir)}")
        within(INTERRUPT_S, lambda: tracker.finish(run_id, "KILLED"))
        raise
    except BaseException:
        tracker.finish(run_id, "FAILED")
        raise
    tracker.log_metrics(run_id, {f"final_{key}": value for key, value in metrics.items()})
    tracker.log_artifacts(run_id, run_dir / ADAPTER, ADAPTER)
    tracker.finish(run_id)
    write_result(run_dir, metrics)
    for line in describe_choice(config, metrics):
        say(line)
    return TrainResult(run_dir, run_dir / ADAPTER, run_id, metrics)


def _watching(
    config: Config, say: Callable[[str], None], on_metrics: Callable[[dict[str, Any]], None] | None
) -> Callable[[dict[str, Any]], None]:
    """Pass journal lines on, and tell of workers that were started again."""

    def on_row(row: dict[str, Any]) -> None:
        if "restarts" in row:
            count, most = int(row["restarts"]), config.training.max_failures
            say(f"a worker died: all started again from step {row['step']} (restart {count} of at most {most})")
        elif on_metrics is not None and row.keys().isdisjoint(("resumes", "checkpoint")):
            on_metrics(row)

    return on_row


def _announce(config: Config, texts: TrainingTexts, run_dir: Path, say: Callable[[str], None]) -> None:
    say(f"run {run_dir}")
    say(f"{len(texts.train)} training and {len(texts.val)} validation examples, {_workers(config)}")
    if texts.num_too_long:
        say(f"{texts.num_too_long} examples left out: over training.max_length={config.training.max_length} tokens")
    _announce_prompts(config, texts, say)


def _workers(config: Config) -> str:
    workers = config.training.num_workers
    return f"{workers} worker(s)" if isinstance(workers, int) else f"{workers[0]} to {workers[1]} workers"


def _announce_prompts(config: Config, texts: TrainingTexts, say: Callable[[str], None]) -> None:
    from t2s.prompt import regime

    settings = config.prompt
    say(f"prompts {regime(settings)}")
    if texts.num_cut:
        say(f"{texts.num_cut} schemas shown in part: over prompt.max_schema_chars={settings.max_schema_chars}")
    if texts.num_gold_cut:
        say(f"{texts.num_gold_cut} examples left out: their query names a column that was cut from the prompt")
    if texts.num_without_values:
        say(f"{texts.num_without_values} prompts without values: no rows for prompt.sample_values")


def _fit(
    config: Config, texts: TrainingTexts, about: dict[str, Any], run_dir: Path, run_id: str | None
) -> dict[str, float]:
    """Run Ray Train, which leaves the adapter in ``run_dir``, and return the final metrics."""
    from t2s.model.adapter import read_manifest
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
    interrupted = False
    try:
        result = fit(build_ray_trainer(config, texts, about, run_dir, RAY, journal))
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        _close(journal, INTERRUPT_S if interrupted else None)
    read_manifest(run_dir / ADAPTER)
    shutil.rmtree(run_dir / RAY, ignore_errors=True)
    return {key: float(value) for key, value in result.return_value.items()}


def _close(journal: Any, timeout_s: float | None) -> None:
    """Let the journal send what is left; a person who pressed Ctrl-C does not wait for it long."""
    import ray

    try:
        if problem := ray.get(journal.close.remote(), timeout=timeout_s):
            log.warning("%s", problem)
    except ray.exceptions.GetTimeoutError:
        log.warning("metrics are still on their way to MLflow: `t2s track replay RUN_DIR` fills them in")


def within(seconds: float, call: Callable[[], object]) -> None:
    """Do something that may hang, and wait for it at most so long."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
