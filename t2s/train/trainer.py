"""TRL's SFTTrainer, shaped by a configuration.

Four things differ from its defaults, all for speed or for the numbers: batches hold examples of like length, a
table's schema is computed once for several of its questions (:mod:`t2s.train.sharing`), the language-model head is
computed only where there is a label (about a quarter of WikiSQL's tokens; the head is a fifth of a small model's work,
and TRL's fused one is slow on a CPU), and adapters stay fp32.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig

from t2s.config import Config
from t2s.model.precision import resolve_precision
from t2s.train.batches import LengthSortedBatches
from t2s.train.checkpoint import KEPT
from t2s.train.encode import Encoded
from t2s.train.measure import MeasureAfter, ValidatingTrainer
from t2s.train.sharing import SharingCollator, shares_exactly
from t2s.train.texts import TrainingTexts

log = logging.getLogger(__name__)

NOT_EXACT = "this model does not give a row shared by several questions the numbers of separate rows"


def build_trainer(config: Config, model: Any, tokenizer: Any, texts: TrainingTexts, out: Path, world_size: int) -> Any:
    """The trainer of one worker. ``model`` carries the adapter; checkpoints go to ``out``."""
    per_row = _questions_per_row(config, model, texts, tokenizer.pad_token_id)
    trainer: Any = CompletionTrainer(
        texts.train,
        per_row,
        model=model,
        args=trainer_arguments(config, model.device, out, num_steps(config, len(texts.train), world_size)),
        train_dataset=_dataset([*texts.train, _blank(texts.train[0])]),
        eval_dataset=_dataset(texts.val),
        processing_class=tokenizer,
        data_collator=SharingCollator(tokenizer.pad_token_id, share=per_row > 1),
    )
    if isinstance(config.training.eval_steps, list):
        trainer.add_callback(MeasureAfter(config.training.eval_steps))
    # TRL casts the adapters of a quantised base to bf16, whose 8 bits of mantissa swallow small updates.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return trainer


class CompletionTrainer(ValidatingTrainer):
    """SFTTrainer with length-sorted batches and a head on label positions only; the loss is the same number.

    ``examples`` are those of ``train_dataset``, of which up to ``questions_per_row`` about one table share a row.
    """

    def __init__(self, examples: Sequence[Encoded], questions_per_row: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._examples = examples
        self._per_row = questions_per_row
        self._wanted: torch.Tensor | None = None
        adapted: Any = self.model
        adapted.get_output_embeddings().register_forward_pre_hook(self._select)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthSortedBatches:
        # A whole optimizer step, over all workers and accumulated passes, has one length.
        step = self.args.train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps
        # With blanks, every worker has as many batches as the others. Accelerate would repeat examples instead.
        workers = self.args.train_batch_size * self.args.world_size if self.args.world_size > 1 else 1
        return LengthSortedBatches(self._examples, step, self.args.seed, self._per_row, multiple=workers)

    def _select(self, head: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Before the head: (batch, time, hidden) becomes (labels, hidden), where a loss is being computed."""
        return arguments if self._wanted is None else (arguments[0][self._wanted], *arguments[1:])

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The mean negative log-likelihood of the completions' tokens, over all workers and accumulated passes."""
        assert not return_outputs, "the logits of a whole batch are never built"
        inputs = dict(inputs)
        labels = inputs.pop("labels")[:, 1:]
        # Position t predicts token t + 1; the last position predicts nothing.
        self._wanted = torch.nn.functional.pad(labels != -100, (0, 1))
        try:
            logits = model(**inputs, use_cache=False).logits
        finally:
            self._wanted = None
        targets = labels[labels != -100]
        loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        if num_items_in_batch is None:
            return loss / max(1, len(targets))
        # DDP averages gradients over workers, and num_items_in_batch counts the labels of all of them.
        return loss / num_items_in_batch * self.args.world_size


def num_steps(config: Config, num_examples: int, world_size: int) -> int:
    """Optimizer steps of the whole training."""
    training = config.training
    batches = math.ceil(num_examples / (training.batch_size * world_size))
    per_epoch = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    steps = math.ceil(per_epoch * training.epochs)
    return min(steps, training.max_steps) if training.max_steps > 0 else steps


def _questions_per_row(config: Config, model: Any, texts: TrainingTexts, pad: int) -> int:
    """``training.questions_per_row``, or 1 for a model that does not compute shared rows exactly."""
    wanted = config.training.questions_per_row
    if wanted == 1 or shares_exactly(model, texts.train, pad):
        return wanted
    log.warning("training.questions_per_row=%d has no effect: %s", wanted, NOT_EXACT)
    return 1


def _blank(example: Encoded) -> Encoded:
    """A short row without a label, which adds nothing to a loss or a gradient."""
    ids = example.input_ids[:2]
    return Encoded(ids, len(ids), table=-1)


def _dataset(examples: Sequence[Encoded]) -> Dataset:
    columns = ("input_ids", "num_prompt", "table")
    return Dataset.from_dict({name: [getattr(example, name) for example in examples] for name in columns})


_CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing") if name in SFTConfig.__dataclass_fields__
)
"""What transformers calls it: the first since 5.24, where TRL's own default for the second warns."""


def trainer_arguments(config: Config, device: torch.device, out: Path, steps: int) -> SFTConfig:
    """TRL's settings for ``config`` on ``device``; ``steps`` are those of the whole training."""
    training = config.training
    precision = resolve_precision(training.precision, device)
    checkpointing: dict[str, Any] = {_CHECKPOINTING: training.gradient_checkpointing is True}  # auto is decided before
    return SFTConfig(
        output_dir=str(out),
        seed=config.seed,
        data_seed=config.seed,
        max_steps=steps,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=max(training.batch_size, config.inference.batch_size),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        **checkpointing,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler,
        warmup_steps=round(training.warmup_ratio * steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optimizer,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
        max_length=None,  # nothing is ever cut: over-long examples were left out before
        dataset_kwargs={"skip_prepare_dataset": True},  # the driver has made tokens and labels
        remove_unused_columns=False,
        packing=False,
        shuffle_dataset=False,
        logging_steps=training.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a loss that is no number must be seen, not averaged away
        eval_strategy="steps" if isinstance(training.eval_steps, int) else "no",  # for a list: MeasureAfter
        eval_steps=training.eval_steps if isinstance(training.eval_steps, int) else None,
        save_strategy="steps" if training.save_steps else "epoch",
        save_steps=training.save_steps or 500,
        save_total_limit=KEPT,
        ddp_find_unused_parameters=False,
        # t2s shows progress and tracks runs itself.
        disable_tqdm=True,
        report_to="none",
    )
