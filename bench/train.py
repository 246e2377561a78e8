"""Training speed beside its peers: same weights, examples, adapter and seed, one thread, in turn, in one process.

    python -m bench.train [--examples 96] [--padded 8] [--rounds 1] [--draw tables] [-c FILE] [key.path=value ...]

The peers: ``SFTTrainer`` with its defaults (dynamic padding, gradient checkpointing; bf16 off, which a CPU cannot do),
and the common recipe that pads every example to 512 tokens (gradient checkpointing too; on ``--padded`` examples only,
each of which costs the same). Prints examples a CPU and a wall second, the largest resident memory of the process up
to then (so only growth tells), the loss on the same unseen examples after training, and the ratios.

``--draw tables`` takes all questions of tables drawn at random, as a training on all data meets them; ``--draw
examples`` draws single questions, of which few share a table. That one batch gives all of them the same loss and
gradients is a test (``tests/integration/test_training_parts.py``).
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import datasets
import torch
import transformers
from trl import SFTConfig, SFTTrainer

from t2s.config import Config, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.train.texts import TrainingTexts, build_texts
from t2s.train.trainer import build_trainer

PADDED = 512


@dataclass
class Spent:
    """Of all rounds of one trainer."""

    examples: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    loss: float = 0.0


Make = Callable[[Any, Any, TrainingTexts, Path], Any]


def main() -> None:
    """Measure and print."""
    given = _arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    config = load([Path(given.config)], ["training.num_workers=1", *given.overrides])
    model, tokenizer, _ = load_base(config, for_training=True)
    train, val, _ = build_pipeline(config.data).prepare()
    drawn = _draw(train, given.examples, given.draw, config.seed)
    texts = build_texts(config, drawn, list(val)[: given.val], tokenizer)
    few = TrainingTexts(texts.train[: given.padded], texts.val, 0)
    print(_described(config, texts, given.draw), flush=True)
    makers: dict[str, tuple[Make, TrainingTexts]] = {
        "t2s": (_ours(config), texts),
        "SFTTrainer": (_stock(config, None), texts),
        f"padded to {PADDED}": (_stock(config, PADDED), few),
    }
    spent = {name: Spent() for name in makers}
    for _ in range(given.rounds):
        for name, (make, shown) in makers.items():
            if shown.train:
                _measure(make, config, model, tokenizer, shown, spent[name])
                print(_line(name, spent[name]), flush=True)
    _report(spent)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--padded", type=int, default=8, help="examples for the recipe that pads; 0 leaves it out")
    parser.add_argument("--val", type=int, default=16, help="unseen examples for the loss")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--draw", choices=("tables", "examples"), default="tables")
    parser.add_argument("-c", "--config", default="configs/smollm2-135m.yaml")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _draw(examples: Sequence[Example], number: int, what: str, seed: int) -> list[Example]:
    draw = random.Random(seed)
    if what == "examples":
        return draw.sample(list(examples), min(number, len(examples)))
    tables: dict[int, list[Example]] = {}
    for example in examples:
        tables.setdefault(id(example.schema), []).append(example)
    chosen = draw.sample(list(tables.values()), len(tables))
    together = [example for table in chosen for example in table][:number]
    return draw.sample(together, len(together))


def _described(config: Config, texts: TrainingTexts, what: str) -> str:
    tables = len({example.table for example in texts.train})
    tokens = sum(map(len, texts.train)) / len(texts.train)
    return (
        f"{len(texts.train)} examples over {tables} tables ({what} drawn), {tokens:.0f} tokens each, batch "
        f"{config.training.batch_size}, up to {config.training.questions_per_row} questions a row, "
        f"{'NF4' if config.quantization.load_in_4bit else 'fp32'}"
    )


def _ours(config: Config) -> Make:
    return lambda model, tokenizer, texts, out: build_trainer(config, model, tokenizer, texts, out, world_size=1)


def _stock(config: Config, padded: int | None, gradient_accumulation_steps: int = 1) -> Make:
    """SFTTrainer as it comes, or with every example padded to ``padded`` tokens; on the same tokens and labels."""

    def make(model: Any, tokenizer: Any, texts: TrainingTexts, out: Path) -> Any:
        columns = {"input_ids": [e.input_ids for e in texts.train], "labels": [e.labels for e in texts.train]}
        defaults = SFTConfig(
            output_dir=str(out),
            bf16=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
            gradient_accumulation_steps=gradient_accumulation_steps,
            seed=config.seed,
            num_train_epochs=1,
            per_device_train_batch_size=config.training.batch_size,
            learning_rate=config.training.learning_rate,
            lr_scheduler_type=config.training.lr_scheduler,
            warmup_steps=config.training.warmup_ratio,
            pad_to_multiple_of=padded,
            dataset_kwargs={"skip_prepare_dataset": True},
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
        )
        trainer: Any = SFTTrainer(
            model=model, args=defaults, train_dataset=datasets.Dataset.from_dict(columns), processing_class=tokenizer
        )
        for parameter in trainer.model.parameters():  # TRL's bf16 adapters would be emulated on a CPU
            if parameter.requires_grad and not torch.cuda.is_available():
                parameter.data = parameter.data.float()
        return trainer

    return make


def _measure(make: Make, config: Config, base: Any, tokenizer: Any, texts: TrainingTexts, spent: Spent) -> None:
    """Train once from the same start; add the CPU and wall seconds of the steps alone."""
    transformers.set_seed(config.seed)
    model = attach(copy.deepcopy(base), config.lora)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make(model, tokenizer, texts, Path(scratch))
        trainer.remove_callback(transformers.PrinterCallback)
        cpu, wall = time.process_time(), time.perf_counter()
        trainer.train()
        spent.cpu_s += time.process_time() - cpu
        spent.wall_s += time.perf_counter() - wall
        spent.examples += len(texts.train)
        spent.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent.loss = build_trainer(config, model, tokenizer, texts, Path(scratch), 1).evaluate()["eval_loss"]


def _line(name: str, spent: Spent) -> str:
    return (
        f"{name:<14} {spent.examples / spent.cpu_s:.3f} examples a CPU second   "
        f"{spent.examples / spent.wall_s:.3f} a wall second   peak {spent.peak_mb:.0f} MB   "
        f"loss {spent.loss:.4f} after {spent.examples}"
    )


def _report(spent: dict[str, Spent]) -> None:
    ours = spent["t2s"]
    for name, peer in list(spent.items())[1:]:
        if peer.examples:
            cpu = (ours.examples / ours.cpu_s) / (peer.examples / peer.cpu_s)
            wall = (ours.examples / ours.wall_s) / (peer.examples / peer.wall_s)
            print(f"t2s : {name:<14} {cpu:.2f} x a CPU second, {wall:.2f} x a wall second")


if __name__ == "__main__":
    main()
