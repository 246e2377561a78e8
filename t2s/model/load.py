"""Load a base model and its tokenizer in the form that the device is good at.

For training the linear layers stay in 4 bits. For inference on a CPU the same 4-bit values are written out once
as fp32: the numbers that are multiplied are the same, without decoding them again for every token.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel

from t2s.config import Config
from t2s.errors import ConfigError
from t2s.model.base import BaseFiles, find_base
from t2s.model.precision import DTYPES, pick_device, resolve_precision


def load_tokenizer(files: BaseFiles) -> Any:
    """The base's own tokenizer, padding on the right; a missing pad token becomes the end-of-sequence token.

    That is safe because labels are masked by position, never by the pad token's id.
    """
    tokenizer = AutoTokenizer.from_pretrained(plain(files).directory, trust_remote_code=False)
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"model.name={files.name}: its tokenizer has no end-of-sequence token to learn")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_base(config: Config, for_training: bool) -> tuple[PreTrainedModel, Any, BaseFiles]:
    """Return ``(model, tokenizer, files)``, the model on its device, in eval mode, without an adapter."""
    files = find_base(config.model)
    device = pick_device(config.training.use_gpu)
    precision = resolve_precision(config.training.precision, device)
    model = AutoModelForCausalLM.from_pretrained(
        plain(files).directory,
        dtype=DTYPES[precision],
        device_map={"": device},
        quantization_config=_quantization(config, DTYPES[precision]),
        trust_remote_code=False,
    )
    if config.quantization.load_in_4bit and device.type == "cpu" and not for_training:
        model = model.dequantize()
    _keep_exact(model)
    return model.eval(), load_tokenizer(files), files


def _keep_exact(model: PreTrainedModel) -> None:
    """Keep 4-bit layers off the bf16 kernel that bitsandbytes has for CPUs with AVX512-BF16.

    A layer in eval mode whose input needs no gradient packs its weights for that kernel, and they stay packed. It has
    no backward pass: the adapters below it learn nothing from then on. Its bf16 scales are other numbers than those
    that are trained on, merged and served (bitsandbytes 0.50.2, nn/modules.py, ``Linear4bit.forward``).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010 (a Module's attributes have no types)


def _quantization(config: Config, compute_dtype: torch.dtype) -> BitsAndBytesConfig | None:
    quantization = config.quantization
    if not quantization.load_in_4bit:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.quant_type,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def plain(files: BaseFiles) -> BaseFiles:
    """A GGUF base as ordinary safetensors, converted once for each fingerprint into the user's cache."""
    if files.gguf is None:
        return files
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "t2s" / "models"
    target = cache / f"{Path(files.gguf).stem}-{files.fingerprint}"
    if not target.is_dir():
        _convert_gguf(files, target)
    return BaseFiles(files.name, target, None, files.fingerprint)


def _convert_gguf(files: BaseFiles, target: Path) -> None:
    """Several workers may arrive at once: each writes aside, the first rename wins."""
    aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    model: Any = AutoModelForCausalLM.from_pretrained(
        files.directory, gguf_file=files.gguf, dtype=torch.float32, trust_remote_code=False
    )
    # save_pretrained refuses a model that says it is quantised, which GGUF weights no longer are once loaded.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(aside)
    tokenizer = AutoTokenizer.from_pretrained(files.directory, gguf_file=files.gguf, trust_remote_code=False)
    tokenizer.save_pretrained(aside)
    try:
        aside.rename(target)
    except OSError:
        if not target.is_dir():
            raise
