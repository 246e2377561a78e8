"""Adapters that were never trained, and yet write something else than their base."""

from __future__ import annotations

from pathlib import Path

import torch

from t2s.config import load
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base


def make_adapter(settings: list[str], directory: Path, seed: int, *own: str) -> Path:
    """Save an adapter with random weights, in the settings of a run and its ``own``."""
    config = load([], [*settings, *own])
    model, _, files = load_base(config, for_training=True)
    adapted = attach(model, config.lora)
    torch.manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.2)
    save_adapter(adapted, directory, files, config.prompt, {})
    return directory
