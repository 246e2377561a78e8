"""Training speed beside stock TRL: same weights, examples, adapter and seed, one thread, in turn, in one process.

    python -m bench.train [--examples 64] [--rounds 2] [--batch-size 8] [key.path=value ...]

Prints examples a CPU and a wall second of t2s's trainer and of ``SFTTrainer`` with its defaults (dynamic padding,
gradient checkpointing; bf16 off, which a CPU cannot do) and their ratio. A round trains each once; the ratio is of the
sums. That both compute the same loss is a test (``tests/integration/test_training_parts.py``).
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import datasets
import torch
import transformers
from trl import SFTConfig, SFTTrainer

from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.train.texts import TrainingTexts, build_texts
from t2s.train.trainer import build_trainer

Make = Callable[[Any, Any, TrainingTexts, Path], Any]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    config = load(
        [Path("configs/quickstart.yaml")],
        [
            f"training.max_train_samples={arguments.examples}",
            f"training.batch_size={arguments.batch_size}",
            "training.num_workers=1",
            *arguments.overrides,
        ],
    )
    model, tokenizer, _ = load_base(config, for_training=True)
    train, val, _ = build_pipeline(config.data).prepare()
    texts = build_texts(config, train, val, tokenizer)
    makers: dict[str, Make] = {"t2s": _ours(config), "SFTTrainer": _stock(config)}
    spent = {name: [0.0, 0.0] for name in makers}
    for _ in range(arguments.rounds):
        for name, make in makers.items():
            cpu, wall = _measure(make, config, model, tokenizer, texts)
            spent[name][0] += cpu
            spent[name][1] += wall
    _report(spent, len(texts.train) * arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _ours(config: Config) -> Make:
    return lambda model, tokenizer, texts, out: build_trainer(config, model, tokenizer, texts, out, world_size=1)


def _stock(config: Config) -> Make:
    def make(model: Any, tokenizer: Any, texts: TrainingTexts, out: Path) -> Any:
        pairs = {"prompt": [p for p, _ in texts.train], "completion": [c for _, c in texts.train]}
        defaults = SFTConfig(
            output_dir=str(out),
            bf16=False,
            use_cpu=True,
            num_train_epochs=1,
            per_device_train_batch_size=config.training.batch_size,
            learning_rate=config.training.learning_rate,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
        )
        trainer: Any = SFTTrainer(
            model=model, args=defaults, train_dataset=datasets.Dataset.from_dict(pairs), processing_class=tokenizer
        )
        for parameter in trainer.model.parameters():  # TRL's bf16 adapters would be emulated on a CPU
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        return trainer

    return make


def _measure(make: Make, config: Config, base: Any, tokenizer: Any, texts: TrainingTexts) -> tuple[float, float]:
    """Train once from the same start; return CPU and wall seconds of the steps alone."""
    transformers.set_seed(config.seed)
    model = attach(copy.deepcopy(base), config.lora)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make(model, tokenizer, texts, Path(scratch))
        cpu, wall = time.process_time(), time.perf_counter()
        trainer.train()
        return time.process_time() - cpu, time.perf_counter() - wall


def _report(spent: dict[str, list[float]], examples: int) -> None:
    for name, (cpu, wall) in spent.items():
        print(f"{name:<12} {examples / cpu:.3f} examples a CPU second   {examples / wall:.3f} a wall second")
    print(f"ratio        {spent['SFTTrainer'][0] / spent['t2s'][0]:.2f} × (CPU)")


if __name__ == "__main__":
    main()
