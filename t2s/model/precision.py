"""Which arithmetic a device is good at: bf16 or fp16 on a GPU, fp32 on a CPU.

bf16 matrix products on a CPU without AVX-512 are about a hundred times slower than fp32, so they are refused
rather than tried.
"""

from __future__ import annotations

import torch

from t2s.errors import SetupError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def pick_device(use_gpu: bool | str) -> torch.device:
    """``cuda`` if wanted and there, else ``cpu``; a :class:`SetupError` if a GPU is demanded and absent."""
    available = torch.cuda.is_available()
    if use_gpu is True and not available:
        raise SetupError("training.use_gpu=true, but no GPU is visible here: set training.use_gpu=auto")
    return torch.device("cuda" if available and use_gpu else "cpu")


def resolve_precision(wanted: str, device: torch.device) -> str:
    """``auto`` resolved for ``device``, anything else checked: ``bf16``, ``fp16`` or ``fp32``."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return "fp32" if device.type == "cpu" else "bf16" if has_bf16 else "fp16"
    if (wanted == "bf16" and not has_bf16) or (wanted == "fp16" and device.type == "cpu"):
        raise SetupError(
            f"training.precision={wanted} needs a GPU that has it, and this device is {device.type}: "
            "set training.precision=auto (fp32 on a CPU)"
        )
    return wanted
