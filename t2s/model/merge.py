"""An adapter and its base as one model of ordinary weights.

The base is merged in the numbers that the adapter was trained on: a 4-bit base is written out in fp32 first, and
only the sum is rounded, once, to the type that is asked for. Merging into 4-bit weights would round the sum to 4 bits.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from t2s.config import Config
from t2s.errors import AdapterError, ConfigError, SetupError
from t2s.model.adapter import check_fits, load_adapter, read_manifest
from t2s.model.base import find_base
from t2s.model.load import load_base
from t2s.model.memory import available_memory
from t2s.model.precision import DTYPES
from t2s.model.skeleton import build_skeleton

INFO = "t2s_merge.json"
"""Beside the merged weights: what they were made of, and what merging changed."""


def merge_adapter(config: Config, adapter: Path, out: Path, dtype: str) -> dict[str, Any]:
    """Write base + ``adapter`` to the new directory ``out`` in ``dtype``; returns what they were made of.

    Raises:
        AdapterError: no adapter, a damaged one, or one of another base or prompt.
        ConfigError: ``out`` is there already.
        SetupError: too little memory, or the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and is never overwritten: choose another directory")
    files = find_base(config.model)
    manifest = read_manifest(adapter)
    check_fits(manifest, adapter, files, config.prompt)
    _refuse_without_memory(sum(p.numel() for p in build_skeleton(files).parameters()) * 4)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model, tokenizer, files = load_base(on_cpu(config), for_training=False)
    merged: Any = load_adapter(model, adapter, files, config.prompt).merge_and_unload(safe_merge=True)
    if not all(torch.isfinite(p).all() for p in merged.parameters()):
        raise AdapterError(f"adapter {adapter}: its weights are not all finite numbers")
    _write(merged.to(DTYPES[dtype]), tokenizer, out)
    return {
        "base": manifest["base"],
        "merged_from": "nf4 weights written out in fp32" if config.quantization.load_in_4bit else "full weights",
        "dtype": dtype,
        "adapter_files": manifest["files"],
        "prompt_regime": manifest.get("prompt_regime"),
        "prompt": manifest.get("prompt"),
        "data": manifest.get("data"),
        "run": manifest.get("run"),
    }


def on_cpu(config: Config) -> Config:
    """``config`` for fp32 on the CPU, where there is room for all of the weights."""
    training = config.training.model_copy(update={"use_gpu": False, "precision": "fp32"})
    return config.model_copy(update={"training": training})


def _refuse_without_memory(needed: int) -> None:
    free = available_memory()
    if needed > free:
        raise SetupError(
            f"merging holds the whole base in fp32, {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free: "
            "use a larger machine, or serve base and adapter unmerged"
        )


def _write(model: Any, tokenizer: Any, out: Path) -> None:
    """Aside first, then renamed."""
    aside = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        if out.is_dir():
            out.rmdir()
        aside.rename(out)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise SetupError(f"{out}: cannot write the merged model: {error.strerror or error}") from None
