"""Attention for passes of a few tokens: heads that share keys and values ask them together.

transformers repeats the keys and values of grouped heads for each head before it calls the kernel, unless one token is
fed. In a pass of several tokens over a long cache that copying costs more than attention itself. Here the heads of a
group are laid end to end as if they were one head's tokens, which computes the same products without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "t2s_grouped"
_REPLACED = "sdpa"


@contextmanager
def grouped(model: Any) -> Iterator[None]:
    """Within the block, ``model`` attends so on a CPU if its attention is transformers' ``sdpa``."""
    config = model.config
    if model.device.type != "cpu" or getattr(config, "_attn_implementation", None) != _REPLACED:
        yield
        return
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = _REPLACED


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """query (rows, heads, tokens, size), key and value (rows, groups, slots, size) to (rows, tokens, heads, size)."""
    rows, heads, length, size = query.shape
    shared = heads // key.shape[1]
    if shared == 1 or mask is None or mask.shape[1] != 1 or given.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, mask, **given)
    result = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], shared * length, size),
        key,
        value,
        attn_mask=mask.repeat(1, 1, shared, 1),
        scale=given.get("scaling"),
    )
    return result.reshape(rows, heads, length, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
