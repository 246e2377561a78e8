"""The sections of the base: which one, and how it is held in memory."""

from __future__ import annotations

from typing import Literal

from t2s.config.schema.section import Name, Section


class ModelConfig(Section):
    """Which base model is tuned."""

    name: Name = "mistralai/Mistral-7B-v0.1"
    """A Hugging Face name, or a directory with a model (safetensors, or one GGUF file), here or in object storage
    (``s3://bucket/model``, ``gs://``, ``abfss://``), of which every machine keeps a copy in ``~/.cache/t2s``."""
    revision: str | None = None
    """The branch, tag or commit on the hub; None is its default branch."""


class QuantizationConfig(Section):
    """How the frozen base is held in memory (QLoRA, Dettmers et al. 2023, arXiv:2305.14314)."""

    load_in_4bit: bool = True
    """Hold the base's linear layers in 4 bits. False keeps them in the training precision."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit code book."""
    double_quant: bool = True
    """Quantise the quantisation constants too (about 0.4 bits a weight less)."""

    @property
    def bits(self) -> float:
        """Bits a weight with its constants: one of 8 bits (or 32) for 64 weights, and one of 32 for 256 of those."""
        return 4 + (8 / 64 + 32 / (64 * 256) if self.double_quant else 32 / 64)
