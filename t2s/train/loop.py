"""What every Ray Train worker runs: load the base, attach the adapter, train, report."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import ray.train
import torch
import transformers
from ray.train import Checkpoint
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from t2s.config import Config
from t2s.errors import RunError
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import build_trainer

ADAPTER = "adapter"
"""Name of the adapter's directory inside the last checkpoint that a run reports."""


def train_loop(loop_config: dict[str, Any]) -> None:
    """Train one adapter; the same code on every worker, on a CPU and on a GPU.

    ``loop_config``: ``config`` (:class:`Config`), ``texts`` (a Ray reference to :class:`TrainingTexts`), ``about``
    (for the adapter's manifest), ``journal`` (an actor with ``log(step, metrics)``, or None), ``save_steps`` (whether
    checkpoints are reported on the way).

    Every report is a barrier that all workers pass equally often: one at each validation, one at each checkpoint
    and one at the end, which carries the finished adapter.
    """
    config: Config = loop_config["config"]
    texts: TrainingTexts = ray.get(loop_config["texts"])
    context = ray.train.get_context()
    is_first, world_size = context.get_world_rank() == 0, context.get_world_size()
    _quiet(config)

    model, tokenizer, base = load_base(config, for_training=True)
    transformers.set_seed(config.seed)
    model = attach(model, config.lora)

    with tempfile.TemporaryDirectory(prefix="t2s-train-") as scratch:
        trainer = build_trainer(config, model, tokenizer, texts, Path(scratch) / "steps", world_size)
        if not loop_config["save_steps"]:
            trainer.args.save_strategy = SaveStrategy.NO
        reporter = _Reporter(loop_config["journal"] if is_first else None, len(texts.train), trainer.args.max_steps)
        trainer.add_callback(reporter)

        # A worker that died is restarted by Ray with the last reported checkpoint.
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            trainer.train()
        else:
            with checkpoint.as_directory() as directory:
                trainer.train(resume_from_checkpoint=directory)

        final = trainer.evaluate()
        metrics = reporter.summary(final | {"train_loss": _mean_loss(trainer.state.log_history)})
        result = None
        if is_first:
            about = loop_config["about"] | {"steps": trainer.state.global_step}
            save_adapter(trainer.accelerator.unwrap_model(trainer.model), Path(scratch) / "end" / ADAPTER, base, about)
            result = Checkpoint.from_directory(Path(scratch) / "end")
        ray.train.report(metrics, checkpoint=result, checkpoint_dir_name="end")


class _Reporter(TrainerCallback):
    """Carries what the trainer says to the journal and to Ray Train, and stops on a loss that is no number."""

    def __init__(self, journal: Any, num_examples: int, total_steps: int) -> None:
        self.journal = journal
        self.num_examples = num_examples
        self.total_steps = total_steps
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
        if state.global_step < self.total_steps:  # the last one is reported with the adapter
            ray.train.report(self.summary(metrics) | {"step": state.global_step})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Each worker reports its own scratch folder: beside the first one's adapter and optimizer lie the others'
        # random states, and Ray merges them.
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        metrics = {"step": state.global_step}
        ray.train.report(
            metrics,
            checkpoint=Checkpoint.from_directory(folder) if folder.is_dir() else None,
            checkpoint_dir_name=f"step-{state.global_step}",
        )

    def summary(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metrics of a run or of a rung; CPU seconds are this worker's."""
        chosen = {key: value for key, value in metrics.items() if key in ("eval_loss", "train_loss")}
        return chosen | {
            "step": self.total_steps,
            "wall_s": time.perf_counter() - self.started,
            "cpu_s": time.process_time() - self.started_cpu,
        }


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
