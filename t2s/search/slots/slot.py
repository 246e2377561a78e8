"""One slot: an adapter, its optimizer and schedule, and the batches that a training of its own would see.

Everything follows what the trainer of :mod:`t2s.train.trainer` does with one worker, number by number: the order of
examples, accumulated passes and the shorter ones at the end of an epoch, the loss over the labels of a whole step,
clipping, AdamW and its schedule. What comes next depends on the number of steps taken alone, so that a slot that goes
on from a checkpoint takes the same steps.
"""

from __future__ import annotations

import bisect
import math
import random
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import Trainer, get_scheduler

from t2s.config import Config
from t2s.model.precision import resolve_precision
from t2s.search.slots.adapter import SlotAdapter
from t2s.search.slots.packed import Share
from t2s.train.batches import LengthSortedBatches
from t2s.train.encode import Encoded
from t2s.train.sharing import SharingCollator
from t2s.train.trainer import num_steps, trainer_arguments


class Order:
    """Which examples the passes of each optimizer step see; the same as a training's with one worker."""

    def __init__(self, examples: Sequence[Encoded], config: Config, per_row: int) -> None:
        training = config.training
        self._size, self._passes = training.batch_size, training.gradient_accumulation_steps
        step = self._size * self._passes
        self._sampler = LengthSortedBatches(examples, step, config.seed, per_row)
        self._steps_per_epoch = math.ceil(len(examples) / step)
        self._epoch: tuple[int, list[int]] | None = None

    def passes(self, step: int) -> list[list[int]]:
        """The examples of each pass of ``step`` (from 0), by their positions."""
        epoch, at = divmod(step, self._steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._sampler.set_epoch(epoch)
            self._epoch = epoch, list(self._sampler)
        chosen = self._epoch[1][at * self._size * self._passes : (at + 1) * self._size * self._passes]
        return [chosen[start : start + self._size] for start in range(0, len(chosen), self._size)]


@dataclass
class Costs:
    """What a slot has used: seconds are its share of those of passes, by tokens, and all of its own validations'."""

    examples: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass
class Progress:
    """What a checkpoint keeps of a slot besides its weights and its optimizer."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Of each step, as a training logs them."""
    costs: Costs = field(default_factory=Costs)


class BadStep(Exception):
    """A step whose loss or gradient is no number; it was not taken. ``args``: loss, gradient's norm."""


class Slot:
    """A setting that is being trained; ``examples`` are those of the search, in their order."""

    def __init__(
        self, key: str, config: Config, adapter: SlotAdapter, examples: Sequence[Encoded], per_row: int, pad: int
    ) -> None:
        self.key, self.config, self.adapter = key, config, adapter
        self.total_steps = num_steps(config, len(examples), 1)
        self._rung_ends = config.training.measured_after(self.total_steps)
        self.progress = Progress()
        self.is_parked = False
        self._examples, self._order = examples, Order(examples, config, per_row)
        self._collate = SharingCollator(pad, share=per_row > 1)
        self._ahead: list[tuple[Share, int]] = []
        self._num_labels, self._loss = 0, 0.0
        device = adapter.vector.device
        with tempfile.TemporaryDirectory(prefix="t2s-slot-") as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # names of arguments that will change: no news for a trial
            arguments = trainer_arguments(config, device, Path(scratch), self.total_steps)
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
        self.optimizer = kind([adapter.vector], weight_decay=config.training.weight_decay, **options)
        self.schedule = get_scheduler(
            arguments.lr_scheduler_type,
            optimizer=self.optimizer,
            num_warmup_steps=arguments.get_warmup_steps(self.total_steps),
            num_training_steps=self.total_steps,
        )
        is_scaled = resolve_precision(config.training.precision, device) == "fp16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=is_scaled)

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.progress.step >= self.total_steps

    @property
    def at_rung(self) -> int:
        """The rung that the slot has just reached, from 1; 0 between rungs."""
        step = self.progress.step
        return self.rung_of(step) if step in self._rung_ends else 0

    def rung_of(self, step: int) -> int:
        """The rung that the first ``step`` steps end in or lead to, from 1."""
        return bisect.bisect_left(self._rung_ends, step) + 1

    # -- one pass ----------------------------------------------------------------------------------------------------

    def share(self) -> Share:
        """The next batch."""
        if not self._ahead:
            self._begin_step()
        return self._ahead[0][0]

    def _begin_step(self) -> None:
        step, seed = self.progress.step, self.config.seed
        for number, chosen in enumerate(self._order.passes(step)):
            batch = self._collate([asdict(self._examples[at]) for at in chosen])
            drawn = random.Random(f"{seed}/{step}/{number}").getrandbits(40)
            self._ahead.append((Share(batch, self.adapter, drawn), len(chosen)))
        self._num_labels, self._loss = sum(share.num_labels for share, _ in self._ahead), 0.0
        assert self.adapter.vector.grad is not None
        self.adapter.vector.grad.zero_()

    def scaled(self, nll: torch.Tensor) -> torch.Tensor:
        """This pass's part of the step's loss: the mean over the labels of all its passes."""
        return nll / max(1, self._num_labels)

    def take_in(self, loss: float) -> bool:
        """After the backward pass of :meth:`share`, whose part of the loss was ``loss``: whether a step was taken.

        Raises:
            BadStep: the loss or the gradient is no number; the adapter is as it was before the step.
        """
        _, num_examples = self._ahead.pop(0)
        self.progress.costs.examples += num_examples
        self._loss += loss
        if self._ahead and math.isfinite(loss):
            return False
        self._step()
        return True

    def _step(self) -> None:
        vector, training = self.adapter.vector, self.config.training
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_([vector], training.max_grad_norm))
        # fp16's loss scaling overflows gradients on purpose and skips those steps itself: there, losses decide.
        if not math.isfinite(self._loss) or not (self.scaler.is_enabled() or math.isfinite(norm)):
            raise BadStep(self._loss, norm)
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= before:  # else the step was skipped
            self.schedule.step()
        self.progress.step += 1
        self.progress.losses.append(self._loss)
