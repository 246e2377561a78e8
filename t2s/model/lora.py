"""An adapter as what it adds: the low-rank products of single linear layers, beside a base that does not know of them.

So that one base can answer with several adapters, which :mod:`t2s.generate.adapters` does row by row. Training many at
once is another matter (:mod:`t2s.search.slots.routed`: gradients, dropout, one buffer an adapter). Not covered: DoRA,
embeddings, the head, biases, whole layers that are saved along; such an adapter is loaded by PEFT, alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from t2s.errors import AdapterError

_BEGINNING = "base_model.model."
_MORE_THAN_PRODUCTS = (
    *("use_dora", "lora_bias", "modules_to_save", "alpha_pattern", "layer_replication", "target_parameters"),
    *("trainable_token_indices", "use_qalora", "alora_invocation_tokens", "arrow_config"),
)
"""Settings of PEFT under which a layer adds something else."""


@dataclass(frozen=True, slots=True)
class Product:
    """``scaling · x Aᵀ Bᵀ``."""

    a: torch.Tensor
    """(rank, in)"""
    b: torch.Tensor
    """(out, rank)"""
    scaling: float

    def add_to(self, result: torch.Tensor, x: torch.Tensor, sign: int) -> None:
        """Add it to ``result`` (..., out) of the inputs ``x`` (..., in), or with ``sign`` -1 take it off, in place.

        Beside a base in half precision the product stays in fp32 and the sum is rounded once, as PEFT does it.
        """
        inner = x.reshape(-1, x.shape[-1]).to(self.a.dtype) @ self.a.t()
        flat = result.view(-1, result.shape[-1])
        if flat.dtype == self.b.dtype:
            flat.addmm_(inner, self.b.t(), alpha=sign * self.scaling)
        else:
            flat.add_(inner @ self.b.t(), alpha=sign * self.scaling)


Lora = dict[str, Product]
"""By the names that the layers have in the base."""


def read_lora(directory: Path, device: torch.device) -> Lora:
    """The products of the adapter in ``directory``, in fp32; who it is and what it fits is for the caller to check.

    Raises:
        AdapterError: it is more than plain products, or not readable.
    """
    settings = plain_settings(directory)
    try:
        weights = load_file(directory / "adapter_model.safetensors", device=str(device))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"adapter {directory}: {error}") from None
    names = {name.rpartition(".lora_")[0] for name in weights}
    pairs = {f"{name}.lora_{letter}.weight" for name in names for letter in "AB"}
    if not names or pairs != set(weights) or not all(name.startswith(_BEGINNING) for name in names):
        raise AdapterError(f"adapter {directory}: holds more than products of linear layers; serve it alone")
    return {name.removeprefix(_BEGINNING): _product(weights, name, settings) for name in sorted(names)}


def plain_settings(directory: Path) -> dict[str, Any]:
    """PEFT's settings of an adapter that is nothing but products; an :class:`AdapterError` for another one."""
    settings: dict[str, Any] = json.loads((directory / "adapter_config.json").read_text("utf-8"))
    more = [name for name in _MORE_THAN_PRODUCTS if settings.get(name)]
    more += ["bias"] if settings.get("bias", "none") != "none" else []
    if settings.get("peft_type") != "LORA" or more:
        what = more[0] if more else f"peft_type {settings.get('peft_type')}"
        raise AdapterError(f"adapter {directory}: {what} is more than a product beside the base; serve it alone")
    return settings


def _product(weights: dict[str, torch.Tensor], name: str, settings: dict[str, Any]) -> Product:
    a, b = (weights[f"{name}.lora_{letter}.weight"].float() for letter in "AB")
    rank = a.shape[0]
    return Product(a, b, settings["lora_alpha"] / (rank**0.5 if settings.get("use_rslora") else rank))
