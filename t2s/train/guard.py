"""Steps that must not be taken, in a worker's trainer.

A step whose loss or gradient is no number ends the run before the optimizer moves; an error inside a step is raised
again with the examples of its batch. Not covered: a loss that is a number and wrong.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from t2s.errors import RunError
from t2s.train.harness import Agreed, Alone, BatchError, Harness, PeerLost

_SHOWN = 8
_SHOWN_CHARS = 120


@dataclass(frozen=True)
class Keeper:
    """Where checkpoints go and what their manifests say besides; ``harness`` is who else is training."""

    folder: Path
    harness: Harness = field(default_factory=Alone)
    about: Mapping[str, object] = field(default_factory=dict)


class GuardedTrainer(SFTTrainer):
    """SFTTrainer whose steps fail by name."""

    # There from the first step on, which the trainer's own types do not know.
    args: Any
    state: Any
    optimizer: Any
    lr_scheduler: Any

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.keeper = Keeper(Path(self.args.output_dir))
        self._passes: list[tuple[dict[str, Any], torch.Tensor]] = []

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward pass."""
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except Exception as error:  # fault boundary: whatever a step can raise is raised again with its batch
            if isinstance(error, torch.distributed.DistError) or "gloo" in str(error):
                raise PeerLost(str(error)) from error
            raise BatchError(self._describe(error, inputs)) from error
        self._passes.append((inputs, loss))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        """The last thing before the optimizer's step: the gradient's norm, which holds all workers' losses."""
        passes, self._passes = self._passes, []
        norm = super()._clip_grad_norm(model)
        scaled = self.accelerator.scaler is not None
        # fp16's loss scaling overflows gradients on purpose and skips those steps itself: there, losses decide.
        bad = any(self.keeper.harness.gather(not _finite(passes))) if scaled else not math.isfinite(float(norm))
        if bad:
            found = [found for worker in self.keeper.harness.gather(self._name_bad(passes)) for found in worker]
            raise Agreed(RunError(self._explain(found)))
        return norm

    def _name_bad(self, passes: list[tuple[dict[str, Any], torch.Tensor]]) -> list[tuple[float, str]]:
        """(loss, text) of this worker's examples whose loss alone is no number; of all if no single one explains it."""
        bare = self.accelerator.unwrap_model(self.model)
        bad = [inputs for inputs, loss in passes if not math.isfinite(float(loss))]
        chosen = [one for inputs in bad or [inputs for inputs, _ in passes] for one in examples_of(inputs)]
        found = [(self._loss_alone(bare, one), _name(one, self.processing_class)) for one in chosen]
        return [(loss, name) for loss, name in found if not math.isfinite(loss)] or found

    @torch.no_grad()
    def _loss_alone(self, model: Any, row: dict[str, Any]) -> float:
        with self.compute_loss_context_manager():
            return float(self.compute_loss(model, self._prepare_inputs(row)))

    def _explain(self, found: list[tuple[float, str]]) -> str:
        losses = [loss for loss, _ in found if not math.isfinite(loss)]
        what = f"the loss is {losses[0]}" if losses else "the gradient is no number"
        guilty = [text for loss, text in found if not losses or not math.isfinite(loss)]
        return (
            f"step {self.state.global_step + 1}: {what}; stopped before the optimizer took it in. "
            f"{listed(guilty)}. If nothing is wrong with their text, lower training.learning_rate (now "
            f"{self.args.learning_rate:g}) or training.max_grad_norm (now {self.args.max_grad_norm:g})"
        )

    def _describe(self, error: Exception, inputs: dict[str, Any]) -> str:
        place = traceback.extract_tb(error.__traceback__)[-1]
        first = (str(error).strip().splitlines() or [""])[0]
        return (
            f"step {self.state.global_step + 1}: {type(error).__name__}: {first} "
            f"({Path(place.filename).name}:{place.lineno}). {listed(name_examples(inputs, self.processing_class))}"
        )


def name_examples(inputs: Mapping[str, Any], tokenizer: Any) -> list[str]:
    """The question and the SQL of each example of a batch."""
    return [_name(one, tokenizer) for one in examples_of(inputs)]


def examples_of(inputs: Mapping[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
    """A batch as batches of one example each, also of rows that several examples share (:mod:`t2s.train.sharing`).

    Where the positions of a row step back, the next example begins, at the length of the trunk; padding is at 0.
    """
    columns = (inputs[name].tolist() for name in ("input_ids", "labels", "position_ids"))
    for ids, labels, positions in zip(*columns, strict=True):
        back = [at for at in range(1, len(ids)) if positions[at] <= positions[at - 1]]
        end = next((at for at in back if positions[at] == 0), len(ids))
        starts = [at for at in back if at < end]
        trunk = positions[starts[0]] if starts else 0
        for start, stop in pairwise([trunk, *starts, end]):
            yield _single(ids[:trunk] + ids[start:stop], [-100] * trunk + labels[start:stop])


def _single(ids: list[int], labels: list[int]) -> dict[str, torch.Tensor]:
    row = {"input_ids": ids, "labels": labels, "position_ids": list(range(len(ids))), "attention_mask": [1] * len(ids)}
    return {name: torch.tensor([values]) for name, values in row.items()}


def _name(example: Mapping[str, torch.Tensor], tokenizer: Any) -> str:
    text = " ".join(tokenizer.decode(example["input_ids"][0].tolist(), skip_special_tokens=True).split())
    return text[text.rfind("QUESTION:") :][:_SHOWN_CHARS] if "QUESTION:" in text else text[-_SHOWN_CHARS:]


def _finite(passes: list[tuple[dict[str, Any], torch.Tensor]]) -> bool:
    return all(math.isfinite(float(loss)) for _, loss in passes)


def listed(names: list[str]) -> str:
    """At most eight of ``names``, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    shown = "; ".join(repr(name) for name in names[:_SHOWN])
    return f"Examples: {shown}{more}" if names else "No examples"
