"""Slots on one GPU without a network: examples a second and memory of K slots, beside one setting at a time.

    python -m bench.gpu_search [--slots 1,2,4,8,16] [--batches 1,4,16] [--steps 8] [--models mistral-7b,smollm2-135m]
    python -m bench.gpu_search --tiny          the same on a CPU with two layers of each, to try the script

Two architectures with random weights, written once below ``--model-dir``: Mistral-7B-v0.1 in NF4, and SmolLM2-135M in
full precision. What is learned means nothing; time and memory do not depend on it. *At a time* is the plain trainer
with one setting in this process, with the base loaded already: what a process per trial costs besides (its start, its
load) is not in it, and is printed as the seconds that one load takes. Examples are the synthetic pipeline's, in tokens
of a tokenizer trained on them (:mod:`bench.gpu_train`). A line per K and batch: examples a second, the ratio, the peak.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, MistralConfig

from bench.gpu_train import _describe, _text, _write_tokenizer
from bench.slots import Spent, numbers, packed, separate, setting
from bench.train import _draw
from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.errors import T2SError
from t2s.model.base import find_base
from t2s.model.load import load_tokenizer
from t2s.search.ladder import Ladder
from t2s.search.slots.engine import SlotEngine
from t2s.train.texts import TrainingTexts, build_texts

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
SMOLLM2 |= {"num_key_value_heads": 3, "vocab_size": 49_152, "tie_word_embeddings": True}


@dataclass(frozen=True)
class Shape:
    """An architecture and how its weights are held."""

    config: Any
    quantized: bool


def main() -> None:
    """Measure and print, one architecture after the other."""
    given = _arguments()
    transformers.utils.logging.disable_progress_bar()
    for name in given.models.split(","):
        _measure(name, _shapes(given.tiny)[name], given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slots", type=numbers, default=[1, 2, 4, 8, 16])
    parser.add_argument("--batches", type=numbers, default=[1, 4, 16])
    parser.add_argument("--steps", type=int, default=8, help="steps of each measurement, after one that is not timed")
    parser.add_argument("--models", default="mistral-7b,smollm2-135m")
    parser.add_argument("--model-dir", type=Path, default=Path(tempfile.gettempdir()) / "t2s-random-models")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _shapes(tiny: bool) -> dict[str, Shape]:
    mistral, llama = (TINY | {"num_attention_heads": 8}, TINY | {"num_attention_heads": 4}) if tiny else ({}, SMOLLM2)
    return {
        "mistral-7b": Shape(MistralConfig(**mistral), quantized=True),  # its defaults are Mistral-7B-v0.1's
        "smollm2-135m": Shape(LlamaConfig(**llama), quantized=False),
    }


def _measure(name: str, shape: Shape, given: argparse.Namespace) -> None:
    directory = given.model_dir / (f"{name}-tiny" if given.tiny else name)
    settings = [f"model.name={directory}", "data.pipeline=synthetic", "lora.r=16", "lora.alpha=32", "lora.dropout=0.0"]
    settings += [f"quantization.load_in_4bit={str(shape.quantized).lower()}", "training.gradient_accumulation_steps=1"]
    config = load([], [*settings, f"data.cache_dir={given.model_dir}", *given.overrides])
    train, val, _ = build_pipeline(config.data).prepare()
    drawn = _draw(train, max(given.batches) * (given.steps + 1), "tables", config.seed)
    _write(directory, shape, [_text(config, example) for example in drawn])
    texts = build_texts(config, drawn, list(val)[:4], load_tokenizer(find_base(config.model)))
    for batch in given.batches:
        sized = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": batch})})
        for line in _lines(sized, texts, given):
            print(f"{name:<12} batch {batch:>2}  {line}", flush=True)


def _lines(config: Config, texts: TrainingTexts, given: argparse.Namespace) -> Iterator[str]:
    """One for the plain trainer, and one for each number of slots that the memory carries."""
    alone = Spent()
    _forget()
    separate(setting(config, 0, given.steps), texts, given.steps, alone)
    yield f"one at a time  {alone.rate:8.2f} examples/s          peak {_peak()}"
    _forget()
    started = time.perf_counter()
    engine = SlotEngine(config, texts, Ladder(1, 0), capacity=max(given.slots), say=lambda _: None)
    if config.training.batch_size == given.batches[0]:
        _describe(engine.base, texts)
        print(f"{'':<12} loading the base takes {time.perf_counter() - started:.1f} s", flush=True)
    for count in given.slots:
        spent = Spent()
        try:
            packed(engine, [setting(config, at, given.steps) for at in range(count)], given.steps, spent)
        except (torch.OutOfMemoryError, T2SError) as error:
            yield f"{count:>3} slots      {str(error).splitlines()[0][:80]}"
            return
        yield f"{count:>3} slots      {spent.rate:8.2f} examples/s  {spent.rate / alone.rate:5.2f} x  peak {_peak()}"


def _write(directory: Path, shape: Shape, texts: list[str]) -> None:
    """A random model and a tokenizer, unless they are there."""
    if (directory / "config.json").is_file():
        return
    _write_tokenizer(directory, texts)
    on_gpu = torch.cuda.is_available()
    with torch.device("cuda" if on_gpu else "cpu"):
        model = transformers.AutoModelForCausalLM.from_config(shape.config, dtype=torch.bfloat16)
    model.save_pretrained(directory)


def _forget() -> None:
    """Let go of the last measurement's memory, and of its peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> str:
    return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if torch.cuda.is_available() else "not measured"


if __name__ == "__main__":
    main()
