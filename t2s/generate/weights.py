"""Linear layers held smaller for generation on a CPU (``inference.weights``), by FBGEMM's packed kernels.

``half``: weights rounded to fp16 and multiplied in fp32. ``int8``: weights rounded to 8 bits with a scale a row, inputs
to 8 bits with a scale a call. Packing is also what makes a pass over a few tokens cost little more than one over one
token, where the usual fp32 product packs the weights again each time.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from t2s.errors import ConfigError


class PackedLinear(torch.nn.Module):
    """``y = x Wᵀ + b`` with W packed; x is (..., in) in fp32."""

    def __init__(self, layer: torch.nn.Linear, kind: str) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().float().contiguous()
        bias = layer.bias.detach().float() if layer.bias is not None else None
        ops = torch.ops.quantized
        self._product: Any = ops.linear_dynamic_fp16 if kind == "half" else ops.linear_dynamic
        self._packed = ops.linear_prepack_fp16(weight, bias) if kind == "half" else _eight_bits(weight, bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        if inputs.numel() == 0:
            return inputs.new_zeros((*inputs.shape[:-1], self.out_features))
        flat = self._product(inputs.reshape(-1, self.in_features), self._packed)
        return flat.view(*inputs.shape[:-1], self.out_features)


def pack(model: Any, kind: str) -> Any:
    """``model`` with its plain linear layers packed in place; their former weights are dropped where nothing shares
    them.

    Raises:
        ConfigError: the model is not on a CPU, or this torch has no FBGEMM.
    """
    if kind == "full":
        return model
    if model.device.type != "cpu":
        raise ConfigError(f"inference.weights={kind} is for a CPU, and the model is on {model.device}: set it to full")
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise ConfigError(f"inference.weights={kind} needs FBGEMM, which this build of torch lacks: set it to full")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(parent, name, PackedLinear(child, kind))
    return model


def _eight_bits(weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    scales = (weight.abs().amax(1) / 127).clamp(min=1e-8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantized tensor creation.*")
        zeros = torch.zeros(len(weight), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(rounded, bias)
