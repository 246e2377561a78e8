"""How many bytes a forward pass keeps for the backward pass, counted on a model without weights.

A copy of two layers runs on the meta device under autograd's own hooks, so that what is counted is what the model's
code saves, for any architecture, adapter and option. Attention is counted as a fused kernel keeps it: queries, keys,
values, result, one number a row, and the mask as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from t2s.config import LoraConfig
from t2s.errors import ConfigError
from t2s.model.adapter import attach
from t2s.model.base import BaseFiles
from t2s.model.skeleton import build_skeleton

_ATTENTION = "t2s_counted"
_LAYERS = 2


class Uncountable(ConfigError):
    """A base whose memory is not known before it is used."""


@dataclass(frozen=True)
class Saved:
    """Bytes kept until the backward pass."""

    outside: int
    """Once: embeddings, last norm, head and loss."""
    a_layer: int
    """For each layer."""
    a_border: int
    """One layer's input, all that gradient checkpointing keeps of it."""


def count_saved(files: BaseFiles, lora: LoraConfig, dtype: torch.dtype, shape: tuple[int, int], labels: int) -> Saved:
    """For a batch of ``shape`` (rows, time) with ``labels`` labels.

    ``dtype`` is that of the activations; under autocast the fp32 adapters are multiplied in it too.

    Raises:
        Uncountable: an architecture that takes no attention but its own.
    """
    _register_attention()
    plain = lora.model_copy(update={"init": "default"})
    try:
        skeleton = build_skeleton(files, dtype, _LAYERS, _ATTENTION)
    except (KeyError, ValueError):  # it looks its attention up in a list of its own
        raise _uncountable(files) from None
    model = attach(skeleton, plain).to(dtype).train()
    counter = _Counter(model)
    layers = _layers(model)
    marks: list[int] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda *_: marks.append(counter.total))
        layer.register_forward_hook(lambda *_: marks.append(counter.total))
    model.get_output_embeddings().register_forward_pre_hook(lambda _, given: (given[0].flatten(0, 1)[:labels],))
    try:
        with counter.counting():
            _forward(model, shape, labels)
    except ValueError:  # its attention takes no mask but one of its own (BLOOM's adds where each key stands)
        raise _uncountable(files) from None
    inside = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
    width = model.get_input_embeddings().weight.shape[1]
    border = shape[0] * shape[1] * width * dtype.itemsize
    return Saved(counter.total - sum(inside), max(inside), border)


def _uncountable(files: BaseFiles) -> Uncountable:
    return Uncountable(
        f"model.name={files.name}: t2s cannot foresee the memory of this architecture; for a training set "
        "training.gradient_checkpointing to true or false"
    )


def _forward(model: Any, shape: tuple[int, int], labels: int) -> None:
    """One pass with loss; a mask of four dimensions is passed on as it is."""
    rows, time = shape
    ids = torch.zeros(rows, time, dtype=torch.long, device="meta")
    mask = torch.ones(rows, 1, time, time, dtype=torch.bool, device="meta")
    positions = torch.zeros(rows, time, dtype=torch.long, device="meta")
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    targets = torch.zeros(labels, dtype=torch.long, device="meta")
    nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


class _Counter:
    """Adds up the storages that autograd saves, each once, parameters left out."""

    def __init__(self, model: nn.Module) -> None:
        self.total = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
        self._kept: list[torch.Tensor] = []  # alive, so that no address comes twice

    @contextmanager
    def counting(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor):
            yield

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self._kept.append(tensor)
            self.total += storage.nbytes()
        return tensor


class _Fused(torch.autograd.Function):
    """Saves what a fused attention kernel saves, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        result = torch.empty_like(query)
        rows, _, time, _ = query.shape
        a_row, mask = query.new_empty(query.shape[:-1], dtype=torch.float32), query.new_empty(rows, 1, time, time)
        ctx.save_for_backward(query, key, value, result, a_row, mask)
        return result


def _attend(module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> Any:
    repeats = query.shape[1] // key.shape[1]  # transformers repeats keys and values where there is a mask
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    return _Fused.apply(query, key, value).transpose(1, 2), None


def _register_attention() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_ATTENTION, _attend)


def _layers(model: nn.Module) -> nn.ModuleList:
    """The decoder's layers: the module list that is as long as the copy is deep."""
    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == _LAYERS)
