"""Mistral-7B's training on one GPU, without a download: memory, examples a second, hours for WikiSQL, beside stock TRL.

    python -m bench.gpu_train [--steps 20] [--batch-size 16] [--lengths DIR_OR_ARCHIVE] [key.path=value ...]
    python -m bench.gpu_train --tiny          the same on a CPU with a model of two small layers, to try the script

The architecture is Mistral-7B-v0.1's with random weights, written once to ``--model-dir`` (14.5 GB) and loaded in NF4
as any base is. What is learned means nothing; time and memory do not depend on it. Sequence lengths are WikiSQL's
(``--lengths`` is its archive or directory; else the synthetic pipeline's questions), in tokens of a byte-level BPE that
is trained on them, since Mistral's own tokenizer cannot be had without a network: the line says how long they are.

The peer is ``SFTTrainer`` with its defaults (gradient checkpointing, dynamic padding, bf16) at 4 x 4, in the same run.
The claim to beat, of a 40 GB A100: 12 GB and 2 to 3 hours for three passes over 56,355 examples.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from bench.train import _draw, _stock
from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.prompt import build_completion, build_prompt
from t2s.train.texts import TrainingTexts, build_texts
from t2s.train.trainer import build_trainer

WIKISQL_EXAMPLES, PASSES = 56_355, 3
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8}
"""Of ``--tiny``; everything else is ``MistralConfig``'s defaults, which are Mistral-7B-v0.1's."""
VOCABULARY = 8_000
"""Small, because it is trained on questions alone: WikiSQL's examples are then about as long as SmolLM2's."""


def main() -> None:
    """Measure and print."""
    given = _arguments()
    transformers.utils.logging.disable_progress_bar()
    source = [f"data.path={given.lengths}", "data.pipeline=wikisql"] if given.lengths else ["data.pipeline=synthetic"]
    settings = [
        f"model.name={given.model_dir}",
        f"training.batch_size={given.batch_size}",
        "lora.r=16",
        "lora.alpha=32",
    ]
    config = load([], [*settings, "training.gradient_accumulation_steps=1", *source, *given.overrides])
    train, val, _ = build_pipeline(config.data).prepare()
    wanted = 2 * given.steps * max(given.batch_size, 16)
    drawn = _draw(train, wanted, "tables", config.seed)
    _write_model(given.model_dir, [_text(config, example) for example in drawn], TINY if given.tiny else {})
    base, tokenizer, _ = load_base(config, for_training=True)
    texts = build_texts(config, drawn, list(val)[:8], tokenizer)
    _describe(base, texts)
    stock = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": 4})})
    peers: dict[str, tuple[Config, int, Callable[..., Any]]] = {
        f"t2s, batch {given.batch_size}": (config, 1, build_trainer),
        "SFTTrainer, 4 x 4": (stock, 4, _stock_on_device(stock)),
    }
    rates = {}
    for name, (settings_, accumulated, make) in peers.items():
        rates[name] = _measure(name, make, settings_, base, tokenizer, texts, given.steps, accumulated)
    ours, peer = rates.values()
    print(f"t2s : SFTTrainer  {ours / peer:.2f} x examples a second")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps that are timed, after 3 that are not")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lengths", type=Path, help="WikiSQL's archive or directory")
    parser.add_argument("--model-dir", type=Path, default=Path(tempfile.gettempdir()) / "mistral-7b-random")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _text(config: Config, example: Any) -> str:
    return build_prompt(example.question, example.schema, config.prompt) + build_completion(example.sql)


def _write_model(directory: Path, texts: list[str], shape: dict[str, int]) -> None:
    if (directory / "config.json").is_file():
        return
    _write_tokenizer(directory, texts)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        model = MistralForCausalLM(MistralConfig(**shape)).to(torch.bfloat16)  # type: ignore[arg-type]
    model.save_pretrained(directory)
    del model
    if device == "cuda":
        torch.cuda.empty_cache()


def _write_tokenizer(directory: Path, texts: list[str]) -> None:
    """A byte-level BPE trained on ``texts``."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    raw.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>").save_pretrained(directory)


def _describe(base: Any, texts: TrainingTexts) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    tokens = sum(map(len, texts.train)) / len(texts.train)
    tables = len({example.table for example in texts.train})
    print(
        f"{device}; torch {torch.__version__}, transformers {transformers.__version__}; "
        f"{base.num_parameters() / 1e9:.2f}e9 parameters; {tokens:.0f} tokens an example, "
        f"{len(texts.train) / tables:.1f} questions a table",
        flush=True,
    )


def _stock_on_device(config: Config) -> Callable[..., Any]:
    make = _stock(config, None, gradient_accumulation_steps=4)
    return lambda _config, model, tokenizer, texts, out, _world: make(model, tokenizer, texts, out)


def _measure(
    name: str, make: Any, config: Config, base: Any, tokenizer: Any, texts: TrainingTexts, steps: int, accumulated: int
) -> float:
    """Train ``3 + steps`` optimizer steps; return examples a second of the last ``steps``."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    model = attach(base, config.lora)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make(config, model, tokenizer, texts, Path(scratch), 1)
        trainer.args.max_steps, trainer.args.save_strategy = 3 + steps, "no"
        clock = _Clock(on_gpu)
        trainer.add_callback(clock)
        trainer.train()
    model.unload()
    rate = steps * config.training.batch_size * accumulated / (clock.times[-1] - clock.times[2])
    hours = WIKISQL_EXAMPLES * PASSES / rate / 3600
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan")
    print(f"{name:<18} {rate:.2f} examples/s   peak {peak:.1f} GiB   {hours:.2f} h for WikiSQL x {PASSES}", flush=True)
    return rate


class _Clock(transformers.TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self, on_gpu: bool) -> None:
        self.on_gpu = on_gpu
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


if __name__ == "__main__":
    main()
