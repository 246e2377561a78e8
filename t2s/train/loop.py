"""What every Ray Train worker runs: load the base, attach the adapter, train, report."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch
import transformers
from safetensors import SafetensorError
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from t2s.config import Config
from t2s.errors import RunError, SetupError, T2SError
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base
from t2s.train.checkpoint import FOLDER, step_of
from t2s.train.harness import Agreed, Harness, RayTrainHarness, together
from t2s.train.launch import ADAPTER
from t2s.train.measure import Validation
from t2s.train.record import run_id_of
from t2s.train.resume import starting_point
from t2s.train.survive import Keeper, log_history
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import build_trainer
from t2s.train.validation import MEASURES

log = logging.getLogger("t2s.train")


def train_loop(loop_config: dict[str, Any]) -> dict[str, float] | T2SError:
    """What Ray Train calls on every worker: train one adapter and return the metrics, or why that cannot be.

    ``loop_config`` is that of :func:`train_here`, with a Ray reference for ``texts``.

    An error of the user's making that all workers know of comes again at every restart, so it is returned, and Ray
    restarts only what a fault ended. An error on one worker alone is raised: Ray then ends the others too.
    """
    harness = RayTrainHarness()
    try:
        return _train(loop_config | {"texts": ray.get(loop_config["texts"])}, harness)
    except Agreed as agreed:
        return agreed.error
    except T2SError as error:
        if harness.world_size > 1:
            raise
        return error


def train_here(loop_config: dict[str, Any], harness: Harness) -> dict[str, float]:
    """Train one adapter in this process and return the metrics; the same code in every worker and trial.

    ``loop_config``:

    - ``config`` (:class:`Config`) and ``texts`` (:class:`TrainingTexts`);
    - ``about``: what the adapter's manifest says of the run and the data;
    - ``run_dir``: where checkpoints and the adapter go, on a disk that all workers see; None for a trial;
    - ``journal``: an actor as in :mod:`t2s.train.journal_actor`, or None;
    - ``name`` of the run;
    - ``stop_board``: the name of an actor with ``is_asked(name)``, for a trial that may have to stop early, or None;
    - of a trial, if given: ``ask_from_step``, before which validations measure the loss only, and ``adapter_to``, where
      its adapter goes once it has reached its last step.

    A trial (no ``run_dir``) writes no checkpoints and reports each validation; all workers pass a report equally often.

    Raises:
        T2SError: of the user's making; known to all workers.
    """
    try:
        return _train(loop_config, harness)
    except Agreed as agreed:
        raise agreed.error from None


def _train(loop_config: dict[str, Any], harness: Harness) -> dict[str, float]:
    """The loop, in order: load, find where to go on, train, validate, save."""
    config: Config = loop_config["config"]
    texts: TrainingTexts = loop_config["texts"]
    run_dir: Path | None = loop_config["run_dir"]
    is_first = harness.rank == 0
    journal = loop_config["journal"] if is_first else None
    _quiet(config)

    about = loop_config["about"]
    with together(harness):
        model, tokenizer, base = load_base(config, for_training=True)
        transformers.set_seed(config.seed)
        model = attach(model, config.lora)

    with tempfile.TemporaryDirectory(prefix="t2s-train-") as scratch:
        trainer = build_trainer(config, model, tokenizer, texts, Path(scratch), harness.world_size)
        trainer.validation = Validation(config, texts.questions, harness, loop_config.get("ask_from_step", 0))
        stopper = _Stopper(loop_config["stop_board"], loop_config["name"], is_first)
        if loop_config["stop_board"]:
            trainer.add_callback(stopper)
        reporter = _Reporter(harness, journal, trainer.args.max_steps, is_trial=run_dir is None)
        trainer.add_callback(reporter)

        # Workers that Ray started again, and a run that was taken up again, go on from the newest valid checkpoint.
        start: Path | None = None
        if run_dir is None:
            trainer.args.save_strategy = SaveStrategy.NO
        else:
            with together(harness):
                start = _begin(run_dir, journal) if is_first else None
            trainer.keeper = Keeper(run_dir / FOLDER, harness, {"run": run_id_of(run_dir)} if is_first else {})
            start = harness.gather(start)[0]
        trainer.train(resume_from_checkpoint=str(start) if start else None)

        if stopper.stopped:
            return {}
        losses = trainer.final_validation() | {"train_loss": _mean_loss(trainer.state.log_history)}
        metrics = reporter.summary(losses, trainer.state.global_step)
        if run_dir is None:
            if adapter_to := loop_config.get("adapter_to"):
                with together(harness):
                    if is_first:
                        adapted = trainer.accelerator.unwrap_model(trainer.model)
                        about |= {"steps": trainer.state.global_step}
                        _save(adapter_to, lambda place: save_adapter(adapted, place, base, config.prompt, about))
            harness.report(metrics)
            return metrics
        with together(harness):
            if is_first:
                metrics |= trainer.keep_best()
                about |= {"steps": int(metrics.get("best_step", trainer.state.global_step))}
                adapted = trainer.accelerator.unwrap_model(trainer.model)
                _save(run_dir / ADAPTER, lambda place: save_adapter(adapted, place, base, config.prompt, about))
        return metrics


def _begin(run_dir: Path, journal: Any) -> Path | None:
    """On the first worker: the checkpoint to start from, and a journal that ends there."""
    if not run_dir.is_dir():
        raise SetupError(
            f"{run_dir} is not there on the first worker's machine: output_dir must be a disk that all nodes share"
        )
    start = starting_point(run_dir, lambda text: log.warning("%s", text))
    history = log_history(start) if start else []
    if journal is not None:
        ray.get(journal.begin.remote(step_of(start) if start else 0, history))
    return start


def _save(adapter: Path, write: Callable[[Path], None]) -> None:
    """Write the finished adapter in place of one that a killed run left."""
    try:
        shutil.rmtree(adapter, ignore_errors=True)
        write(adapter)
    except (OSError, SafetensorError) as error:
        free = shutil.disk_usage(adapter.parent).free
        raise SetupError(
            f"{adapter}: cannot write the adapter: {error}; {free:,} bytes are free: make room, then "
            f"t2s train --resume {adapter.parent}"
        ) from None


class _Reporter(TrainerCallback):
    """Carries what the trainer says to the journal, and a trial's validations to Tune."""

    def __init__(self, harness: Harness, journal: Any, total_steps: int, is_trial: bool) -> None:
        self.harness = harness
        self.is_trial = is_trial
        self.journal = journal
        self.total_steps = total_steps
        self.unanswered: list[Any] = []
        self.started = time.perf_counter()
        self.started_cpu = time.process_time()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        metrics = {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
        if self.journal is not None:
            progress = {
                "total_steps": float(self.total_steps),
                "elapsed_s": time.perf_counter() - self.started,
            }
            self._write(state.global_step, metrics | progress)

    def _write(self, step: int, metrics: dict[str, float]) -> None:
        """Send a line and go on; what the journal could not write before is raised now."""
        done, self.unanswered = ray.wait(
            [*self.unanswered, self.journal.log.remote(step, metrics)], num_returns=len(self.unanswered) + 1, timeout=0
        )
        try:
            ray.get(done)
        except RunError as error:
            raise RunError(str(getattr(error, "cause", error))) from None

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.is_trial and state.global_step < self.total_steps:  # the last one is reported at the end
            self.harness.report(self.summary(given["metrics"], state.global_step))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.journal is not None:
            self._write(state.global_step, {"checkpoint": float(state.global_step)})

    def summary(self, metrics: dict[str, float], step: int) -> dict[str, float]:
        """The metrics of a run or of a rung; CPU seconds are this worker's."""
        chosen = {key: value for key, value in metrics.items() if key in (*MEASURES, "train_loss")}
        return chosen | {
            "step": step,
            "wall_s": time.perf_counter() - self.started,
            "cpu_s": time.process_time() - self.started_cpu,
        }


class _Stopper(TrainerCallback):
    """Ends a trial at the next step once the search has asked for it; all workers at the same step."""

    def __init__(self, board: str | None, name: str, is_first: bool) -> None:
        self.stopped = False
        self._name = name
        self._board = ray.get_actor(board) if board and is_first else None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        asked: Any = self._board is not None and ray.get(self._board.is_asked.remote(self._name))
        flag = torch.tensor(float(asked), device=args.device)
        torch.distributed.broadcast(flag, src=0)  # the first worker's answer is everybody's
        if flag:
            self.stopped = control.should_training_stop = True


def _mean_loss(history: list[dict[str, float]]) -> float:
    losses = [row["loss"] for row in history if "loss" in row]
    return sum(losses) / max(1, len(losses))


def _quiet(config: Config) -> None:
    """One thread a CPU (more are slower for small models), and no progress bars in Ray's logs."""
    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    import datasets

    datasets.disable_progress_bars()
