"""The section of the adapter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from t2s.config.schema.section import MAX_RANK, Init, Name, Section


class LoraConfig(Section):
    """The adapter (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1, le=MAX_RANK)
    """Rank of the update."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout on the adapter's input, in training only."""
    target_modules: Annotated[list[Name], Field(min_length=1)] | Literal["all-linear"] = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    """Names of the layers that get an adapter, or ``all-linear``."""
    use_rslora: bool = False
    """Scale by alpha / √r instead of alpha / r, so that large ranks learn too (Kalajdzievski 2023,
    arXiv:2312.03732)."""
    use_dora: bool = False
    """Learn the magnitude of each weight's columns apart from the direction (DoRA, Liu et al. 2024, arXiv:2402.09353);
    about a third slower."""
    init: Init = "default"
    """How the adapter begins. ``pissa`` (arXiv:2404.02948), ``olora`` (arXiv:2406.01775) and ``orthogonal`` need
    ``quantization.load_in_4bit: false``; the first two change the base while training, and are saved as a plain
    adapter of twice the rank that fits the unchanged base."""
