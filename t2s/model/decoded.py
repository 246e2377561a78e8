"""Generate with a 4-bit base on a CPU without decoding its weights again for every token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

_SHARE = 0.5
"""Share of the memory that written-out weights may take; the cache of keys and values needs some too."""


@contextmanager
def decoded(model: Any, memory: int) -> Iterator[bool]:
    """Hold the 4-bit layers of ``model`` written out for the length of the block, and say whether that was done.

    The products are the same numbers: a CPU decodes before it multiplies anyway. On a GPU, and where ``memory`` (bytes
    that this process may take) does not suffice, nothing is done.
    """
    layers = _packed_layers(model)
    needed = sum(layer.in_features * layer.out_features * layer.compute_dtype.itemsize for layer in layers)
    if not layers or needed > _SHARE * memory:
        yield False
        return
    own = {layer: vars(layer).get("forward") for layer in layers}
    for layer in layers:
        layer.forward = partial(torch.nn.functional.linear, weight=_decode(layer), bias=layer.bias)
    try:
        yield True
    finally:
        for layer, forward in own.items():
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def _packed_layers(model: Any) -> list[Any]:
    """The 4-bit layers that lie on a CPU and compute in fp32."""
    import bitsandbytes

    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, bitsandbytes.nn.Linear4bit)]
    return [
        layer
        for layer in layers
        if layer.weight.device.type == "cpu"
        and layer.weight.quant_state is not None
        and layer.compute_dtype == torch.float32
    ]


@torch.no_grad()
def _decode(layer: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return weight.to(torch.float32)
