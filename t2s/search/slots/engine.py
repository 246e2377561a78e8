"""The resident engine of a search: one frozen base, and up to ``capacity`` adapters that train on it together.

:meth:`SlotEngine.step` makes one packed pass over the next batch of every running slot. Slots open and close between
passes; nothing is loaded again. Each slot takes the steps that ``t2s train`` would take with its setting, whoever its
neighbours are. One thread at a time; Ray is none of its business (:mod:`t2s.search.host`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from t2s.config import Config
from t2s.data.core import Example
from t2s.errors import RunError
from t2s.model.load import load_base
from t2s.model.precision import resolve_precision
from t2s.search.ladder import Ladder
from t2s.search.slots.adapter import SlotAdapter
from t2s.search.slots.measure import Measures
from t2s.search.slots.memory import Watch, find_room
from t2s.search.slots.packed import Packer, Share, packs_exactly
from t2s.search.slots.saved import restore_slot, save_slot
from t2s.search.slots.slot import BadStep, Costs, Slot
from t2s.train.guard import examples_of, listed, name_examples
from t2s.train.sharing import shares_exactly
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import NOT_EXACT
from t2s.train.validation import Accuracy

log = logging.getLogger(__name__)


class SlotsFull(RunError):
    """No slot is free."""


@dataclass(frozen=True)
class Rung:
    """What a slot has reached: a measurement, or (with ``error``) the step that ended it."""

    key: str
    rung: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None


class SlotEngine:
    """Trains many settings side by side on ``texts``; ``ladder`` says which rung measures what.

    Raises:
        ConfigError: ``search.slots`` asks for more than the memory carries.
    """

    def __init__(
        self,
        config: Config,
        texts: TrainingTexts,
        ladder: Ladder,
        capacity: int | None = None,
        say: Callable[[str], None] = log.info,
        sharing: int = 1,
    ) -> None:
        self.config, self.texts, self.ladder = config, texts, ladder
        torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
        base: Any
        base, self.tokenizer, self.files = load_base(config, for_training=True)
        self.base = _prepared(base, config, say)
        pad = self.tokenizer.pad_token_id
        self._per_row = _questions_per_row(config, base, texts, say)
        self.packer = Packer(base, pad, resolve_precision(config.training.precision, base.device))
        self.packer.is_flat = packs_exactly(self.packer, texts.train, pad)
        if not self.packer.is_flat:
            say("slots: this base's attention cannot run on batches laid end to end: they are padded to one length")
        self._measures = Measures(self.packer, self.tokenizer, config, texts.val, self._per_row)
        room = find_room(config, texts, self.files, base.device, sharing)
        self.capacity = self._limit = capacity or room.choose(config.search.slots)
        say(f"slots: {self.capacity}, each about {room.a_slot / 1e9:.2f} GB; {room.free / 1e9:.1f} GB are free")
        self._watch = Watch(room, base.device, say)
        self._slots: dict[str, Slot] = {}

    # -- who is there ------------------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        """Slots that :meth:`open` can take."""
        return max(0, self.capacity - len(self._slots))

    @property
    def running(self) -> list[str]:
        """Keys of the slots that the next :meth:`step` trains."""
        return [slot.key for slot in self._training()]

    def _training(self) -> list[Slot]:
        return [slot for slot in self._slots.values() if not slot.is_parked and not slot.is_done]

    def open(self, key: str, short: Config, resume: Path | None = None) -> None:
        """Give ``short``, a setting with its budget, a slot; ``resume`` is a checkpoint that :meth:`save` wrote.

        Raises:
            SlotsFull: no slot is free.
            ConfigError: an adapter that a slot cannot hold.
            RunError: the checkpoint is damaged or of another setting.
        """
        assert key not in self._slots, f"slot {key} is open already"
        if not self.free:
            raise SlotsFull(f"slots: all {self.capacity} are taken")
        adapter = SlotAdapter.fresh(self.base, short)
        pad = self.tokenizer.pad_token_id
        per_row = min(short.training.questions_per_row, self._per_row)
        slot = Slot(key, short, adapter, self.texts.train, per_row, pad)
        if resume is not None:
            restore_slot(slot, resume)
        self._slots[key] = slot

    def proceed(self, key: str) -> None:
        """Go on after a rung."""
        self._slots[key].is_parked = False

    def close(self, key: str) -> None:
        """Free the slot; a key that has none is ignored."""
        self._slots.pop(key, None)

    def losses(self, key: str) -> list[float]:
        """The loss of every step so far."""
        return list(self._slots[key].progress.losses)

    # -- training ----------------------------------------------------------------------------------------------------

    def step(self) -> list[Rung]:
        """One pass over the next batch of each running slot; the slots that reached a rung or failed, mostly none.

        A slot at a rung is measured and waits for :meth:`proceed`; one whose loss or gradient is no number is closed.
        """
        slots = self._training()
        if not slots:
            return []
        shares = [slot.share() for slot in slots]
        with self._charged(slots, [math.prod(share.shape) for share in shares]):
            losses = self._pass(slots, shares)
            taken = [self._take_in(*each) for each in zip(slots, shares, losses, strict=True)]
        self.capacity = self._watch.after_pass(len(slots), self.capacity, self._limit)
        failed = [found for found in taken if isinstance(found, Rung)]
        for rung in failed:
            self.close(rung.key)
        reached = [slot for slot, found in zip(slots, taken, strict=True) if found is True and slot.at_rung]
        return failed + self._measure(reached)

    def _pass(self, slots: Sequence[Slot], shares: Sequence[Share]) -> list[float]:
        """Forward and backward; each slot's part of the loss of its step. Nothing of one slot reaches another."""
        with self.packer.running(shares) as laid_out:
            sums = self.packer.losses(laid_out)
            parts = [slot.scaled(nll) for slot, nll in zip(slots, sums, strict=True)]
            torch.stack([slot.scaler.scale(part) for slot, part in zip(slots, parts, strict=True)]).sum().backward()
        found: list[float] = torch.stack([part.detach() for part in parts]).tolist()
        return found

    def _take_in(self, slot: Slot, share: Share, loss: float) -> bool | Rung:
        try:
            return slot.take_in(loss)
        except BadStep as bad:
            step = slot.progress.step + 1
            error = self._explain(slot, share, *bad.args)
            return Rung(slot.key, slot.rung_of(step), step, {"failed": 1.0, "step": float(step)}, error)

    def _explain(self, slot: Slot, share: Share, loss: float, _norm: float) -> str:
        """Which examples of the batch have a loss that is no number; all of them if no single one explains it."""
        what = "the gradient is no number" if math.isfinite(loss) else f"the loss is {loss}"
        singles = list(examples_of(share.batch))
        bad = [one for one in singles if not math.isfinite(self._measures.loss_alone(slot.adapter, one))]
        names = [name for one in bad or singles for name in name_examples(one, self.tokenizer)]
        return (
            f"step {slot.progress.step + 1}: {what}; stopped before the optimizer took it in. {listed(names)}. Such a "
            f"learning rate may be too high for this setting (training.learning_rate="
            f"{slot.config.training.learning_rate:g})"
        )

    @contextmanager
    def _charged(self, slots: Sequence[Slot], weights: Sequence[int]) -> Iterator[None]:
        """Share the seconds of the block among ``slots``."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        for slot, weight in zip(slots, weights, strict=True):
            costs, part = slot.progress.costs, weight / sum(weights)
            costs.wall_s, costs.cpu_s = costs.wall_s + part * wall, costs.cpu_s + part * cpu

    # -- rungs -------------------------------------------------------------------------------------------------------

    def _measure(self, slots: Sequence[Slot]) -> list[Rung]:
        if not slots:
            return []
        with self._charged(slots, [1] * len(slots)):
            losses = self._measures.losses([slot.adapter for slot in slots])
        return [self._rung(slot, loss) for slot, loss in zip(slots, losses, strict=True)]

    def _rung(self, slot: Slot, loss: float) -> Rung:
        slot.is_parked = True
        metrics = {"eval_loss": loss}
        if self.ladder.measures_ex(slot.at_rung) and self.texts.questions:
            with self._charged([slot], [1]):
                found, latency = self._measures.ask(slot.adapter, self.texts.questions)
            metrics |= found.metrics() | {"latency_s": latency}
        progress = slot.progress
        metrics |= {
            "train_loss": sum(progress.losses) / max(1, len(progress.losses)),
            "adapter_parameters": float(slot.adapter.vector.numel()),
            **_costs(progress.costs),
        }
        return Rung(slot.key, slot.at_rung, progress.step, metrics)

    def ask(self, key: str, questions: Sequence[Example]) -> Accuracy:
        """Execution accuracy of a slot's adapter on ``questions``."""
        return self._measures.ask(self._slots[key].adapter, questions)[0]

    def verdicts(self, key: str, questions: Sequence[Example]) -> list[bool | None]:
        """Whether each of ``questions`` is answered right; None is one whose gold query cannot be executed."""
        return self._measures.verdicts(self._slots[key].adapter, questions)

    def save(self, key: str, folder: Path) -> Path:
        """Write a checkpoint ``folder/step-N`` of a slot, from which :meth:`open` goes on with the same steps."""
        return save_slot(self._slots[key], folder)

    def export(self, key: str, directory: Path, about: dict[str, Any]) -> None:
        """Write a slot's adapter as ``t2s train`` writes one; ``about`` is what else its manifest says."""
        slot = self._slots[key]
        about = {"steps": slot.progress.step, **about}
        slot.adapter.export(self.base, slot.config, self.files, directory, about)


def _costs(costs: Costs) -> dict[str, float]:
    return {"examples": float(costs.examples), "wall_s": costs.wall_s, "cpu_s": costs.cpu_s}


def _prepared(base: Any, config: Config, say: Callable[[str], None]) -> Any:
    """Frozen, and without random numbers of its own: those would tie a slot to its neighbours."""
    base.requires_grad_(False)
    silenced = [module for module in base.modules() if isinstance(module, torch.nn.Dropout) and module.p > 0]
    for module in silenced:
        module.p = 0.0
    if silenced:
        say("slots: the base's own dropout has no effect in a search (lora.dropout has)")
    if config.training.gradient_checkpointing is True:
        base.gradient_checkpointing_enable({"use_reentrant": False})
        base.train()
    return base


def _questions_per_row(config: Config, base: Any, texts: TrainingTexts, say: Callable[[str], None]) -> int:
    wanted = config.training.questions_per_row
    pad = base.config.pad_token_id or 0
    if wanted == 1 or shares_exactly(base, texts.train, pad):
        return wanted
    say(f"training.questions_per_row={wanted} has no effect: {NOT_EXACT}")
    return 1
