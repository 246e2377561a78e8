"""A base without its weights: what it is made of, known in a second and before any worker starts.

The model's own code builds it on PyTorch's meta device, so that names, shapes and counts are those of the real model,
for any architecture that transformers knows. Not covered: whether the weight files fit it; loading tells.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from t2s.config import LoraConfig
from t2s.errors import ConfigError, suggest
from t2s.model.base import BaseFiles
from t2s.model.load import plain

LINEAR = (nn.Linear, Conv1D)
ADAPTABLE = (*LINEAR, nn.Embedding)


def build_skeleton(
    files: BaseFiles, dtype: torch.dtype = torch.float32, num_layers: int | None = None, attention: str | None = None
) -> Any:
    """The base on the meta device; with ``num_layers``, only so many of its layers."""
    config = copy.deepcopy(AutoConfig.from_pretrained(plain(files).directory, trust_remote_code=False))
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if num_layers is not None:
        config.num_hidden_layers = num_layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:num_layers]
    if attention is not None:
        config._attn_implementation = attention
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)


def adapted_layers(model: Any, lora: LoraConfig) -> dict[str, nn.Module]:
    """The layers that get an adapter, by their names; ``model`` carries none yet.

    Raises:
        ConfigError: a name in ``lora.target_modules`` that no layer has, with the names that there are.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, ADAPTABLE)}
    head = model.get_output_embeddings()
    if lora.target_modules == "all-linear":
        return {name: m for name, m in layers.items() if isinstance(m, LINEAR) and m is not head}
    found: dict[str, nn.Module] = {}
    for wanted in lora.target_modules:
        matches = {name: m for name, m in layers.items() if name == wanted or name.endswith(f".{wanted}")}
        if not matches:
            known = sorted({name.rsplit(".", 1)[-1] for name, m in layers.items() if isinstance(m, LINEAR)})
            raise ConfigError(
                f"lora.target_modules: this base has no layer {wanted}{suggest(wanted, known)}; "
                f"it has {', '.join(known)}, or say all-linear"
            )
        found |= matches
    return found


def count_trainable(model: Any, lora: LoraConfig) -> int:
    """Parameters of the adapter on ``model``, which carries none yet."""
    return sum(_adapter_size(layer, lora) for layer in adapted_layers(model, lora).values())


def _adapter_size(layer: nn.Module, lora: LoraConfig) -> int:
    if isinstance(layer, nn.Embedding):
        ins, outs = layer.num_embeddings, layer.embedding_dim
    elif isinstance(layer, nn.Linear):
        ins, outs = layer.in_features, layer.out_features
    else:
        ins, outs = layer.weight.shape  # type: ignore[misc]  # GPT-2's Conv1D holds (in, out)
    return int(lora.r * (ins + outs) + (outs if lora.use_dora else 0))
