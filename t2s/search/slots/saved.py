"""A slot's checkpoint at a rung: whole or not there, hashed, without pickles, as those of a training.

It holds the adapter, the optimizer, the schedule and the progress. Examples, labels and dropout of every further step
follow from the seed and the number of steps taken, so that no random state is kept: a slot that goes on takes the same
steps. A checkpoint belongs to one setting; another one is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from t2s.config import Config
from t2s.errors import RunError, SetupError
from t2s.search.slots.slot import Costs, Progress, Slot
from t2s.train.checkpoint import read_checkpoint, write_checkpoint
from t2s.train.state import pack, unpack

_PROGRESS = "slot.json"
_HOW = {
    "batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "questions_per_row",
    "logging_steps",
    "report_to",
    "max_failures",
}
"""Settings of a training that change how a step is computed or told, and not what it is."""


def save_slot(slot: Slot, folder: Path) -> Path:
    """Write ``folder/step-N`` and return it; inside a step, what is saved is the slot as the step before left it.

    Raises:
        SetupError: the disk is full or cannot be written; what was there before is untouched.
    """
    files = (
        slot.adapter.pack()
        | pack("optimizer", slot.optimizer.state_dict())
        | pack("schedule", {"scheduler": slot.schedule.state_dict(), "scaler": slot.scaler.state_dict()})
        | {_PROGRESS: json.dumps(asdict(slot.progress)).encode()}
    )
    try:
        return write_checkpoint(folder, slot.progress.step, files, {"setting": _hash(slot.config)})
    except SetupError as error:
        reason = str(error).split(";")[0]
        raise SetupError(f"{reason}; make room there, then t2s search --resume") from None


def restore_slot(slot: Slot, checkpoint: Path) -> None:
    """Give a fresh ``slot`` the state of ``checkpoint``, which is checked first.

    Raises:
        RunError: the checkpoint is damaged (:class:`DamagedCheckpoint`) or of another setting.
    """
    manifest = read_checkpoint(checkpoint)
    if manifest.get("setting") != _hash(slot.config):
        raise RunError(
            f"{checkpoint}: a checkpoint of another setting, seed or data size; trial {slot.key} begins anew"
        )
    slot.adapter.restore(checkpoint)
    slot.optimizer.load_state_dict(unpack(checkpoint, "optimizer"))
    schedule = unpack(checkpoint, "schedule")
    slot.schedule.load_state_dict(schedule["scheduler"])
    if schedule["scaler"]:
        slot.scaler.load_state_dict(schedule["scaler"])
    found = json.loads((checkpoint / _PROGRESS).read_text("utf-8"))
    slot.progress = Progress(found["step"], found["losses"], Costs(**found["costs"]))


def _hash(config: Config) -> str:
    """Of all that a slot's steps depend on, but for the base and the examples, which the search holds fixed."""
    training = config.training
    parts = {
        "seed": config.seed,
        "lora": config.lora.model_dump(),
        "training": training.model_dump(exclude=_HOW),
        "global_batch": training.batch_size * training.gradient_accumulation_steps,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
