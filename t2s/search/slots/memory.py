"""How many slots a device carries: estimated from the model's own code before the first step, then measured.

The base is there once. A slot costs its adapter with AdamW's state and the activations of its largest batch; both are
those of :mod:`t2s.train.estimate`, for the largest adapter of the search's space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from t2s.config import Config
from t2s.errors import ConfigError
from t2s.model.base import BaseFiles
from t2s.model.memory import available_memory
from t2s.model.precision import resolve_precision
from t2s.train.estimate import estimate
from t2s.train.place import Place
from t2s.train.saved import Uncountable
from t2s.train.texts import TrainingTexts

MOST = 8
"""Slots where nobody says how many: more gain little (``bench/slots.py``) and delay every trial."""
_MARGIN = 0.8
"""Share of the free memory that slots may take; answering questions needs some of the rest."""
_MEASURED_PASSES = 5
"""Passes after which the measured peak is believed."""


@dataclass(frozen=True)
class Room:
    """What slots may take on a device, in bytes."""

    free: int
    """After the base was loaded."""
    a_slot: int
    """0 if the base's code cannot be counted: then only measuring tells."""

    @property
    def most(self) -> int:
        """Slots that fit."""
        return int(_MARGIN * self.free / max(1, self.a_slot))

    def choose(self, asked: int | None) -> int:
        """``asked`` slots, or as many as fit, at most :data:`MOST`.

        Raises:
            ConfigError: more are asked for than fit, or not even one fits.
        """
        wanted = asked or 1
        if wanted > self.most:
            need, there = _gb(wanted * self.a_slot), _gb(int(_MARGIN * self.free))
            cure = f"at most {self.most}" if self.most else "lower training.batch_size or training.max_length"
            name = "search.slots" if asked else "slots: even"
            raise ConfigError(
                f"{name}{'=' if asked else ' '}{wanted} needs about {need}, {there} are available: {cure}"
            )
        return asked or min(MOST, self.most)


def find_room(config: Config, texts: TrainingTexts, files: BaseFiles, device: torch.device, sharing: int = 1) -> Room:
    """For the largest slot of ``config``; ``sharing`` hosts share this machine's memory. The base is loaded already."""
    free = _free(device) // sharing
    precision = resolve_precision(config.training.precision, device)
    place = Place(device.type, device.type, free, precision, flops=1.0)
    try:
        found = estimate(_largest(config), texts, place, files)
    except Uncountable:
        return Room(free, 0)
    on = config.training.gradient_checkpointing is True
    return Room(free, found.adapter + (found.activations_checkpointed if on else found.activations))


def hosts_in(place: Place, config: Config, texts: TrainingTexts, slots: int) -> int:
    """How many processes fit at ``place``, each with a base and ``slots`` slots.

    Raises:
        Uncountable: the architecture's memory is not known before it is used.
    """
    found = estimate(_largest(config), texts, place)
    on = config.training.gradient_checkpointing is True
    a_slot = found.adapter + (found.activations_checkpointed if on else found.activations)
    return int(_MARGIN * place.memory // (found.memory(on) + (slots - 1) * a_slot))


def find_place(config: Config) -> Place:
    """The device that a host will have, all of it; its speed is not asked."""
    from t2s.train import place

    return replace(place.find_place(config, sharing=1), flops=1.0)


def _largest(config: Config) -> Config:
    """With an adapter as large as any that the space may draw."""
    space = config.search.space
    choices = [config.lora.target_modules, *(space.target_modules or [])]
    layers = sorted({name for choice in choices if not isinstance(choice, str) for name in choice})
    update = {
        "r": max([config.lora.r, *(space.r or [])]),
        "target_modules": "all-linear" if "all-linear" in choices else layers,
    }
    return config.model_copy(update={"lora": config.lora.model_copy(update=update)})


@dataclass
class Watch:
    """Compares the estimate with the memory that passes take, once some have been made."""

    room: Room
    device: torch.device
    say: Callable[[str], None]
    _start: int = 0
    _passes: int = 0
    _most_slots: int = field(default=0)

    def __post_init__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._start = _held(self.device)

    def after_pass(self, slots: int, capacity: int, limit: int) -> int:
        """The capacity from here on, after a pass of ``slots``: at most ``limit``, at least the slots that run."""
        self._passes += 1
        self._most_slots = max(self._most_slots, slots)
        if self._passes != _MEASURED_PASSES:
            return capacity
        a_slot = max(1, (_peak(self.device) - self._start) // self._most_slots)
        measured = Room(self.room.free, a_slot)
        chosen = max(slots, 1, min(limit, measured.most))
        if chosen != capacity:
            what = f"a slot takes {_gb(a_slot)}, not {_gb(self.room.a_slot)} as estimated"
            self.say(f"slots: {what}: {chosen} slots instead of {capacity}")
        return chosen


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def _held(device: torch.device) -> int:
    """Bytes that this process holds now."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return _status("VmRSS")


def _peak(device: torch.device) -> int:
    """The most that this process has held."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
