"""Linear layers held smaller for generation on a CPU (``inference.weights``), by FBGEMM's packed kernels.

``half``: weights rounded to fp16 and multiplied in fp32. Packing is also what makes a pass over a few tokens cost
little more than one over one token, where the usual fp32 product packs the weights again each time. There is no 8-bit
kind: what it did to the answers is in ``docs/log.md``.
"""

from __future__ import annotations

from typing import Any

import torch

from t2s.errors import ConfigError


class PackedLinear(torch.nn.Module):
    """``y = x Wᵀ + b`` with W packed in fp16; x is (..., in) in fp32."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().float().contiguous()
        bias = layer.bias.detach().float() if layer.bias is not None else None
        self._packed: Any = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        if inputs.numel() == 0:
            return inputs.new_zeros((*inputs.shape[:-1], self.out_features))
        flat = torch.ops.quantized.linear_dynamic_fp16(inputs.reshape(-1, self.in_features), self._packed)
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
                setattr(parent, name, PackedLinear(child))
    return model
