"""What a worker's trainer does so that a run can be killed anywhere: checkpoints of t2s's own, without pickles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState, set_seed
from transformers.trainer_callback import ExportableState

from t2s.train.checkpoint import prune, read_checkpoint, write_checkpoint
from t2s.train.guard import GuardedTrainer, Keeper
from t2s.train.harness import together
from t2s.train.state import capture_random, pack, pack_adapter, restore_adapter, restore_random, unpack

__all__ = ["Keeper", "SurvivingTrainer", "log_history", "restore_best"]

TRAINER_STATE = "trainer_state.json"


class SurvivingTrainer(GuardedTrainer):
    """A trainer with checkpoints that hold no pickles, and with steps that fail by name."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """All workers give their random states; the first one writes, and all learn if it could not."""
        self.store_flos()
        own = {"random": capture_random(self.args.device), "unlogged": self._tr_loss, "logged": self._logged_step}
        states = self.keeper.harness.gather(own)
        with together(self.keeper.harness):
            if self.keeper.harness.rank == 0:
                self._write(states)

    def _write(self, states: list[Any]) -> None:
        self._note_callbacks()
        scaler = self.accelerator.scaler
        schedule = {"scheduler": self.lr_scheduler.state_dict(), "scaler": scaler.state_dict() if scaler else None}
        files = (
            pack_adapter(self.accelerator.unwrap_model(self.model))
            | pack("optimizer", self.optimizer.state_dict())
            | pack("schedule", schedule)
            | pack("workers", states)
            | {TRAINER_STATE: _state_text(self.state)}
        )
        about = {"epoch": self.state.epoch, "world_size": len(states), **self.keeper.about}
        write_checkpoint(self.keeper.folder, self.state.global_step, files, about)
        best, limit = self.state.best_global_step, self.args.save_total_limit
        if limit is not None:
            prune(self.keeper.folder, limit, also=() if best is None else (best,))

    def _note_callbacks(self) -> None:
        """Callbacks that have a state (early stopping's patience) put it into the trainer's, as the trainer does."""
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        restore_adapter(self.accelerator.unwrap_model(model or self.model), Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(unpack(Path(checkpoint), "optimizer"))
            self.lr_scheduler.load_state_dict(unpack(Path(checkpoint), "schedule")["scheduler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        saved = unpack(Path(checkpoint), "schedule")["scaler"] if checkpoint is not None else None
        if saved is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(saved)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """This worker's own state; with another number of workers than then, a new one that depends on the step."""
        if checkpoint is None:
            return
        harness = self.keeper.harness
        states = unpack(Path(checkpoint), "workers")
        if len(states) != harness.world_size:
            set_seed((self.args.seed + self.state.global_step * 1009 + harness.rank) % 2**32)
            return
        own = states[harness.rank]
        restore_random(own["random"], self.args.device)
        # A line of metrics is the mean over its steps, also if some of them were before the checkpoint.
        self._tr_loss += own["unlogged"].to(self._tr_loss.device)
        self._logged_step = own["logged"]

    @property
    def _logged_step(self) -> int:
        """The step of the last line of metrics, by the trainer's own name."""
        return int(self._globalstep_last_logged)

    @_logged_step.setter
    def _logged_step(self, step: int) -> None:
        self._globalstep_last_logged = step

    def _run_epoch(self, model: Any, epoch: int, train_dataloader: Any, *arguments: Any, **given: Any) -> None:
        """Accelerate 1.15 tells a sampler its epoch through one wrapper; a resumed worker of several has two."""
        set_epoch(train_dataloader, epoch)
        super()._run_epoch(model, epoch, train_dataloader, *arguments, **given)


def set_epoch(dataloader: Any, epoch: int) -> None:
    """Tell the sampler at the bottom of a data loader which epoch it is, however many wrappers are between."""
    batches = dataloader.batch_sampler
    while hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    batches.sampler.set_epoch(epoch)


def log_history(checkpoint: Path) -> list[dict[str, Any]]:
    """The metrics that had been logged when a checkpoint was written, each with its step."""
    history = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE)).log_history
    return [dict(row) for row in history or []]


def restore_best(model: torch.nn.Module, folder: Path, step: int) -> None:
    """Give ``model`` the adapter of the checkpoint ``step``, which is checked first."""
    path = folder / f"step-{step}"
    read_checkpoint(path)
    restore_adapter(model, path)


def _state_text(state: TrainerState) -> bytes:
    return json.dumps(dataclasses.asdict(state), indent=1, sort_keys=True).encode()
