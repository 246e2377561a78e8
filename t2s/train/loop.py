"""What every Ray Train worker runs: load the base, attach the adapter, train, report."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
import transformers
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base
from t2s.train.harness import Harness, RayTrainHarness
from t2s.train.launch import ADAPTER
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import build_trainer


def train_loop(loop_config: dict[str, Any]) -> T2SError | None:
    """What Ray Train calls on every worker: train one adapter, or return why that cannot be.

    ``loop_config`` is that of :func:`train_here`, with a Ray reference for ``texts``.

    An error of the user's making (:class:`T2SError`) is the same on all workers and comes again at every restart, so
    it is returned, and Ray restarts only what a fault ended.
    """
    try:
        train_here(loop_config | {"texts": ray.get(loop_config["texts"])}, RayTrainHarness())
    except T2SError as error:
        return error
    return None


def train_here(loop_config: dict[str, Any], harness: Harness) -> None:
    """Train one adapter in this process; the same code in every worker and trial, on a CPU and on a GPU.

    ``loop_config``:

    - ``config`` (:class:`Config`) and ``texts`` (:class:`TrainingTexts`);
    - ``about``: what the adapter's manifest says of the run and the data;
    - ``journal``: an actor with ``log(step, metrics)``, or None;
    - ``name`` of the run, and ``is_trial``: a trial of a search reports no checkpoints on the way;
    - ``stop_board``: the name of an actor with ``is_asked(name)``, for a trial that may have to stop early, or None.

    Every report is a barrier that all workers pass equally often: one at each validation, one at each checkpoint
    and one at the end, which carries the finished adapter.
    """
    config: Config = loop_config["config"]
    texts: TrainingTexts = loop_config["texts"]
    is_first = harness.rank == 0
    _quiet(config)

    model, tokenizer, base = load_base(config, for_training=True)
    transformers.set_seed(config.seed)
    model = attach(model, config.lora)

    with tempfile.TemporaryDirectory(prefix="t2s-train-") as scratch:
        trainer = build_trainer(config, model, tokenizer, texts, Path(scratch) / "steps", harness.world_size)
        stopper = _Stopper(loop_config["stop_board"], loop_config["name"], is_first)
        if loop_config["is_trial"]:
            trainer.args.save_strategy = SaveStrategy.NO
        if loop_config["stop_board"]:
            trainer.add_callback(stopper)
        reporter = _Reporter(harness, loop_config["journal"] if is_first else None, trainer.args.max_steps)
        trainer.add_callback(reporter)

        # A worker that died is restarted by Ray with the last reported checkpoint.
        with harness.checkpoint() as directory:
            trainer.train(resume_from_checkpoint=directory)

        if stopper.stopped:
            return
        final = reporter.last_evaluation or trainer.evaluate()
        losses = final | {"train_loss": _mean_loss(trainer.state.log_history)}
        metrics = reporter.summary(losses, trainer.state.global_step)
        if is_first:
            about = loop_config["about"] | {"steps": trainer.state.global_step}
            save_adapter(trainer.accelerator.unwrap_model(trainer.model), Path(scratch) / "end" / ADAPTER, base, about)
        harness.report(metrics, Path(scratch) / "end", "end")


class _Reporter(TrainerCallback):
    """Carries what the trainer says to the journal and to Ray Train, and stops on a loss that is no number."""

    def __init__(self, harness: Harness, journal: Any, total_steps: int) -> None:
        self.harness = harness
        self.journal = journal
        self.total_steps = total_steps
        self.last_evaluation: dict[str, float] = {}
        self.started = time.perf_counter()
        self.started_cpu = time.process_time()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        metrics = {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
        if self.journal is not None:
            progress = {
                "total_steps": float(self.total_steps),
                "elapsed_s": time.perf_counter() - self.started,
            }
            self.journal.log.remote(state.global_step, metrics | progress)
        loss = metrics.get("loss", 0.0)
        if loss != loss or abs(loss) == float("inf"):
            raise RunError(
                f"step {state.global_step}: the loss is {loss}; lower training.learning_rate "
                f"(now {args.learning_rate:g}) or training.max_grad_norm"
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        metrics: dict[str, float] = given["metrics"]
        if state.global_step < self.total_steps:
            self.harness.report(self.summary(metrics, state.global_step), None, "")
        else:
            self.last_evaluation = metrics  # the last one is reported with the adapter

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Each worker reports its own scratch folder: beside the first one's adapter and optimizer lie the others'
        # random states, and Ray merges them.
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.harness.report({"step": state.global_step}, folder, f"step-{state.global_step}")

    def summary(self, metrics: dict[str, float], step: int) -> dict[str, float]:
        """The metrics of a run or of a rung; CPU seconds are this worker's."""
        chosen = {key: value for key, value in metrics.items() if key in ("eval_loss", "train_loss")}
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
