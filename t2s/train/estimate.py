"""What a training will take, before it starts: parameters, steps, tokens, memory and time.

Memory is counted from the model's own code on the meta device (:mod:`t2s.train.saved`) for the batch that is largest in
this training's own batches; time from a matrix product measured on the device. Not covered: other processes that
take memory later, and the CPUs' sharing of caches. ``docs/training.md`` says how far off it was where it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from t2s.config import Config
from t2s.model.base import BaseFiles, find_base
from t2s.model.precision import DTYPES
from t2s.model.skeleton import adapted_layers, build_skeleton, count_trainable
from t2s.train.batches import LengthSortedBatches
from t2s.train.encode import IGNORED
from t2s.train.place import Place
from t2s.train.saved import Saved, count_saved
from t2s.train.sharing import rows_of
from t2s.train.texts import TrainingTexts

PROCESS = {"cpu": int(0.9e9), "cuda": int(0.6e9)}
"""Bytes before any weight: Python with torch, transformers, TRL and Ray; on a GPU the CUDA context and libraries."""
HELD = {"cpu": (2.3, 4.6), "cuda": (1.15, 1.15)}
"""Bytes held for each byte of activations, without and with gradient checkpointing: glibc does not reuse the aligned
blocks that PyTorch frees on a CPU, so that as much again, and more where blocks come and go, lies in holes (measured);
CUDA's allocator rounds (assumed)."""
EFFICIENCY = {"cpu": 0.65, "cuda": 0.4}
"""Share of a large matrix product's speed that training reaches (CPU measured, GPU assumed)."""
_MARGIN = 0.9
"""Share of the memory that training may take before ``gradient_checkpointing: auto`` turns it on."""


@dataclass(frozen=True)
class Batches:
    """One epoch's batches of one worker, as they will be drawn."""

    largest: tuple[int, int]
    """Rows and tokens a row of the batch with most tokens."""
    labels: int
    """Most labels of a batch."""
    tokens: int
    """Computed in one epoch, over all workers, padding included."""
    num_labels: int
    """Labels of one epoch, over all workers."""


@dataclass(frozen=True)
class Estimate:
    """For one worker; bytes and seconds."""

    trainable: int
    parameters: int
    steps: int
    batches: Batches
    weights: int
    """The base as it is held."""
    adapter: int
    """Adapter, its gradient and AdamW's two moments."""
    activations: int
    """Of the largest batch, without gradient checkpointing, head and loss included."""
    activations_checkpointed: int
    process: int
    seconds: float
    """Of all steps, without start-up and validation."""

    def memory(self, checkpointing: bool) -> int:
        """Peak bytes of one worker."""
        activations = self.activations_checkpointed if checkpointing else self.activations
        return self.process + self.weights + self.adapter + activations


def estimate(config: Config, texts: TrainingTexts, place: Place, files: BaseFiles | None = None) -> Estimate:
    """What training on ``texts`` with ``config`` takes at ``place``.

    Raises:
        ConfigError: ``lora.target_modules`` names a layer that the base does not have.
    """
    from t2s.train.trainer import num_steps

    files = files or find_base(config.model)
    dtype = DTYPES[place.precision]
    model = build_skeleton(files, dtype)
    trainable, batches = count_trainable(model, config.lora), measure_batches(config, texts)
    steps = num_steps(config, len(texts.train), config.training.max_workers)
    saved = count_saved(files, config.lora, dtype, batches.largest, batches.labels)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    full, light = (
        _activations(saved, model.config.num_hidden_layers, place.device, on, batches.labels * vocabulary)
        for on in (False, True)
    )
    per_epoch = max(1, math.ceil(len(texts.train) / _global_batch(config)))
    work = _flops(model, config, trainable, batches) * steps / per_epoch / config.training.max_workers
    return Estimate(
        trainable,
        sum(p.numel() for p in model.parameters()),
        steps,
        batches,
        _weight_bytes(model, config, place, dtype.itemsize),
        trainable * _bytes_a_trained_parameter(config),
        full,
        min(light, full),
        PROCESS[place.device],
        work / (place.flops * EFFICIENCY[place.device]),
    )


def settle_checkpointing(config: Config, found: Estimate, place: Place) -> tuple[Config, str]:
    """``config`` with ``training.gradient_checkpointing`` decided, and a sentence that says why, with numbers."""
    wanted = config.training.gradient_checkpointing
    without, with_it = found.memory(False), found.memory(True)
    on = wanted if isinstance(wanted, bool) else without > _MARGIN * place.memory
    why = (
        f"memory a worker: about {_gb(without)} without gradient checkpointing, {_gb(with_it)} with it, "
        f"{_gb(place.memory)} available on {place.name}: "
        f"{'on' if on else 'off'}{'' if wanted == 'auto' else ', as training.gradient_checkpointing says'}"
    )
    if found.memory(on) > place.memory:
        why += "; it may run out: lower training.batch_size or training.max_length"
    return with_checkpointing(config, on), why


def with_checkpointing(config: Config, on: bool) -> Config:
    """``config`` with gradient checkpointing on or off."""
    training = config.training.model_copy(update={"gradient_checkpointing": on})
    return config.model_copy(update={"training": training})


def settle(config: Config, texts: TrainingTexts, say: Callable[[str], None], sharing: int | None = None) -> Config:
    """Decide ``training.gradient_checkpointing: auto`` on the driver and say so; anything else stays as it is.

    ``sharing`` workers share a machine's memory; None is all of them.
    """
    from t2s.train.place import find_place

    if config.training.gradient_checkpointing != "auto":
        return config
    place = find_place(config, sharing)
    config, why = settle_checkpointing(config, estimate(config, texts, place), place)
    say(why)
    return config


def measure_batches(config: Config, texts: TrainingTexts) -> Batches:
    """The batches of the first epoch, in the order of training; the others have the same lengths nearly."""
    training = config.training
    size = training.batch_size
    order = list(LengthSortedBatches(texts.train, _global_batch(config), config.seed, training.questions_per_row))
    shapes, labels, most_labels = [], 0, 0
    for start in range(0, len(order), size):
        batch = [texts.train[index] for index in order[start : start + size]]
        rows = list(rows_of(batch)) if training.questions_per_row > 1 else batch
        shapes.append((len(rows), max(map(len, rows))))
        count = sum(label != IGNORED for example in batch for label in example.labels)
        labels, most_labels = labels + count, max(most_labels, count)
    tokens = sum(rows * width for rows, width in shapes)
    return Batches(max(shapes, key=lambda shape: shape[0] * shape[1]), most_labels, tokens, labels)


def lines(config: Config, found: Estimate, place: Place, examples: int) -> Iterator[tuple[str, str]]:
    """The estimate for a person, as (name, value)."""
    batches, on = found.batches, config.training.gradient_checkpointing is True
    rows, width = batches.largest
    yield "parameters", f"{found.trainable:,} trainable, {found.parameters:,} in the base"
    yield "steps", f"{found.steps:,} of {_global_batch(config)} examples ({examples:,} examples an epoch)"
    yield "tokens", f"{batches.tokens:,} an epoch, {batches.num_labels:,} of them labels"
    yield "largest batch", f"{rows} rows of {width} tokens, {batches.labels} labels"
    yield "precision", f"{place.precision}, adapter fp32, base {_base_form(config, place)}"
    parts = (("base", found.weights), ("adapter and optimizer", found.adapter), ("process", found.process))
    activations = found.activations_checkpointed if on else found.activations
    shown = ", ".join(f"{name} {_gb(size)}" for name, size in (*parts, ("activations", activations)))
    yield "memory", f"about {_gb(found.memory(on))} a worker: {shown}"
    yield "time", f"about {duration(found.seconds)} of steps at {place.flops / 1e9:,.0f} GFLOP/s, measured"


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _global_batch(config: Config) -> int:
    training = config.training
    return training.batch_size * training.max_workers * training.gradient_accumulation_steps


def _base_form(config: Config, place: Place) -> str:
    held = config.quantization
    return f"{held.quant_type} ({held.bits:.2f} bits a weight)" if held.load_in_4bit else place.precision


def _activations(saved: Saved, layers: int, device: str, checkpointed: bool, num_logits: int) -> int:
    """Bytes at the peak: with checkpointing all borders and the inside of one layer, else the inside of all."""
    inside = layers * saved.a_border + saved.a_layer if checkpointed else layers * saved.a_layer
    passing = saved.a_layer // 2 + 2 * 4 * num_logits  # gradients on their way through a layer and the head
    return int(HELD[device][checkpointed] * (inside + saved.outside + passing))


def _weight_bytes(model: Any, config: Config, place: Place, itemsize: int) -> int:
    """Linear layers in 4 bits if so configured; the head, embeddings and norms in full. Tied weights count once.

    On a CPU the pages of the file that 4-bit weights were made from stay counted.
    """
    head = model.get_output_embeddings()
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear) and m is not head)
    rest = sum(p.numel() for p in model.parameters()) - linear
    if not config.quantization.load_in_4bit:
        return (linear + rest) * itemsize
    file = (linear + rest) * itemsize if place.device == "cpu" else 0
    return int(linear * config.quantization.bits / 8) + rest * itemsize + file


def _bytes_a_trained_parameter(config: Config) -> int:
    """fp32 weight and gradient, AdamW's two moments (a byte each in 8 bits), and DDP's copy of the gradient."""
    moments = 2 if config.training.optimizer == "paged_adamw_8bit" else 8
    return 8 + moments + (4 if config.training.max_workers > 1 else 0)


def _flops(model: Any, config: Config, trainable: int, batches: Batches) -> float:
    """Of one epoch over all workers: 2 a weight forward, 2 backward (the base gets no gradient), 6 of an adapter."""
    head = model.get_output_embeddings()
    everything = adapted_layers(model, config.lora.model_copy(update={"target_modules": "all-linear"}))
    linear = sum(sum(p.numel() for p in layer.parameters()) for layer in everything.values())
    again = 1 if config.training.gradient_checkpointing is True else 0
    passes = 4 + 2 * again
    shape = model.config
    attention = passes * 2 * shape.num_hidden_layers * shape.hidden_size * batches.largest[1] / 2
    of_tokens = batches.tokens * (passes * linear + 6 * trainable + attention)
    return float(of_tokens + batches.num_labels * 4 * head.weight.numel())


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
