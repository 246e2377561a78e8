"""Validation inside a training: the exact loss, execution accuracy, and what follows from them.

The loss is the mean over all labels of the validation examples, summed up over batches and workers, so that it depends
on neither. Execution accuracy is measured by the evaluation's own generator and scorer. All workers take a share of
both and know the sums, so that they decide alike.

Not covered: a worker on a machine that does not see the data's databases; its first validation ends the run and says
so.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState
from transformers.trainer_utils import EvalLoopOutput, SaveStrategy

from t2s.config import Config
from t2s.data.core import Example
from t2s.errors import DataError
from t2s.evaluate.score import Scorer
from t2s.generate.core import Request
from t2s.generate.engine import Generator
from t2s.model.decoded import decoded
from t2s.train.checkpoint import DamagedCheckpoint
from t2s.train.encode import IGNORED
from t2s.train.harness import Agreed, Alone, Harness, together
from t2s.train.place import available_memory
from t2s.train.survive import TRAINER_STATE, SurvivingTrainer, restore_best
from t2s.train.validation import MEASURES, Accuracy, find_best, is_over

log = logging.getLogger("t2s.train")


@dataclass(frozen=True)
class Validation:
    """What a trainer's validations do besides the loss; ``harness`` is who else is training."""

    config: Config
    questions: Sequence[Example] = ()
    harness: Harness = field(default_factory=Alone)
    ask_from_step: int = 0
    """Earlier validations measure the loss only."""


class MeasureAfter(TrainerCallback):
    """Validates after the given steps; transformers only knows every so many."""

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = frozenset(steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_evaluate = state.global_step in self._steps


def measure_execution(
    model: Any, tokenizer: Any, config: Config, questions: Sequence[Example], harness: Harness | None = None
) -> Accuracy:
    """Ask ``model`` all ``questions`` as :func:`ask_questions` does, and count; the same counts everywhere."""
    return Accuracy.of(ask_questions(model, tokenizer, config, questions, harness))


def ask_questions(
    model: Any, tokenizer: Any, config: Config, questions: Sequence[Example], harness: Harness | None = None
) -> list[bool | None]:
    """Ask ``model`` all ``questions`` greedily, a share in each worker: whether each answer is right, everywhere.

    None is a question whose gold query cannot be executed. ``model`` is left in the mode that it was in. Its answers
    draw no random numbers.

    Raises:
        Agreed: the databases cannot be read by some worker, or no gold query can be executed; all workers raise.
    """
    harness = harness or Alone()
    mine = questions[harness.rank :: harness.world_size]
    found: list[bool | None] = []
    with together(harness):
        found = _verdicts(model, tokenizer, config, mine, available_memory() // harness.world_size)
    verdicts: list[bool | None] = [None] * len(questions)
    for rank, share in enumerate(harness.gather(found)):
        verdicts[rank :: harness.world_size] = share
    if all(verdict is None for verdict in verdicts):
        raise Agreed(
            DataError(f"none of the {len(questions)} validation questions has a gold query that can be executed")
        )
    return verdicts


def _verdicts(
    model: Any, tokenizer: Any, config: Config, questions: Sequence[Example], memory: int
) -> list[bool | None]:
    was_training = model.training
    model.eval()
    try:
        with decoded(model, memory):
            generator = Generator(model, tokenizer, config.inference, config.prompt)
            answers = generator.generate([Request(e.question, e.schema, e.source) for e in questions])
    finally:
        model.train(was_training)
    with Scorer() as scorer:
        return [scorer.score(e, answer.sql).ex for e, answer in zip(questions, answers, strict=True)]


class ValidatingTrainer(SurvivingTrainer):
    """SurvivingTrainer whose validations are exact, may ask questions, and may choose the adapter and the end."""

    validation: Validation | None = None
    """None measures the loss only."""
    stopped_early = False

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """What ``evaluate`` reports and logs."""
        model, examples = self.accelerator.unwrap_model(self.model), dataloader.dataset
        metrics = {f"{metric_key_prefix}_loss": self._exact_loss(model, examples)}
        asks = self.validation is not None and self.state.global_step >= self.validation.ask_from_step
        if self.validation is not None and self.validation.questions and asks:
            metrics |= self._execution(model, self.validation)
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(examples))  # type: ignore[arg-type]

    def _execution(self, model: Any, validation: Validation) -> dict[str, float]:
        started = time.perf_counter()
        found = measure_execution(
            model, self.processing_class, validation.config, validation.questions, validation.harness
        )
        return found.metrics() | {"eval_ex_s": time.perf_counter() - started}

    @torch.no_grad()
    def _exact_loss(self, model: Any, examples: Any) -> float:
        """Mean negative log-likelihood of a label, over the batches of all workers."""
        model.eval()
        totals = torch.zeros(2, dtype=torch.float64)
        for batch in self._share(list(examples)):
            labels = int((batch["labels"][:, 1:] != IGNORED).sum())
            with self.compute_loss_context_manager():
                mean = self.compute_loss(model, self._prepare_inputs(batch))
            totals += torch.tensor([float(mean) * labels, labels], dtype=torch.float64)
        summed, count = self.accelerator.reduce(totals.to(self.args.device), reduction="sum").tolist()
        return summed / count

    def _share(self, features: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """This worker's batches: examples of like length together, those about one table side by side."""
        longest: dict[int, int] = {}
        for each in features:
            longest[each["table"]] = max(longest.get(each["table"], 0), len(each["input_ids"]))
        features.sort(key=lambda each: (longest[each["table"]], each["table"], len(each["input_ids"])), reverse=True)
        workers = self.accelerator.num_processes
        size = min(self.args.eval_batch_size, math.ceil(len(features) / workers))
        for start in range(self.accelerator.process_index * size, len(features), workers * size):
            yield self.data_collator(features[start : start + size])

    # -- what follows from a validation ------------------------------------------------------------------------------

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any = None) -> bool:
        """Called by the trainer after each validation, before it saves: keep a new best, or end the training."""
        training = self.validation.config.training if self.validation else None
        if training is None or training.metric_for_best is None:
            return False
        best = find_best(self.state.log_history, training.metric_for_best)
        if best is not None:
            self.state.best_metric, self.state.best_global_step = best.value, best.step
        is_new = best is not None and best.step == self.state.global_step
        if is_new and self.args.save_strategy != SaveStrategy.NO:
            self.control.should_save = True
        if is_over(best, training):
            self.control.should_training_stop = True
            self.stopped_early = self.state.global_step < self.args.max_steps
        return is_new

    def train(self, resume_from_checkpoint: Any = None, *arguments: Any, **given: Any) -> Any:
        """Train; a run that had ended early when its checkpoint was written takes no more steps."""
        if resume_from_checkpoint is not None and self.validation is not None:
            found = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / TRAINER_STATE))
            training = self.validation.config.training
            if training.metric_for_best and is_over(find_best(found.log_history, training.metric_for_best), training):
                self._load_from_checkpoint(resume_from_checkpoint)
                self.state, self.stopped_early = found, found.global_step < self.args.max_steps
                return None
        return super().train(resume_from_checkpoint, *arguments, **given)

    def final_validation(self) -> dict[str, float]:
        """The metrics of the last step, measured now unless they were."""
        found = [row for row in self.state.log_history if "eval_loss" in row and row["step"] == self.state.global_step]
        if found:
            return dict(found[-1])
        metrics = self.evaluate()
        self._determine_best_metric(metrics)
        return metrics

    def keep_best(self) -> dict[str, float]:
        """Give the model the adapter of the best validation, where one is chosen, and return that one's metrics."""
        step, last = self.state.best_global_step, self.state.global_step
        if step is None:
            return {}
        try:
            if step != last:
                restore_best(self.accelerator.unwrap_model(self.model), self.keeper.folder, step)
        except DamagedCheckpoint as error:
            log.warning(
                "the best adapter, of step %d, is damaged: %s; the last one, of step %d, is kept", step, error, last
            )
            step = last
        row = next(row for row in reversed(self.state.log_history) if "eval_loss" in row and row["step"] == step)
        kept = {name: float(row[name]) for name in MEASURES if name in row}
        return kept | {"best_step": float(step), "stopped_early": float(self.stopped_early)}
