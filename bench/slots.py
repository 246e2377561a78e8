"""What slots cost and save on this device: packed passes beside separate ones and beside the plain trainer, in turn.

    python -m bench.slots [--slots 1,2,4,8] [--steps 4] [--rounds 2] [-c FILE] [key.path=value ...]

For each number of slots K, in the same process and in alternation: K settings in K slots of one engine (one pass a
step for all), and the same settings one after the other, each in the only slot. Then one slot beside the plain
trainer (``t2s.train.trainer``) on the same batches: what the engine itself costs a step. Prints examples a CPU second
(on a GPU: a second), and the ratios. That both compute the same losses is a test (``tests/integration/test_slots.py``).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers

from bench.train import _described, _draw
from t2s.config import Config, load
from t2s.data.pipelines import build_pipeline
from t2s.model.adapter import attach
from t2s.model.base import find_base
from t2s.model.load import load_base, load_tokenizer
from t2s.search.ladder import Ladder
from t2s.search.slots.engine import SlotEngine
from t2s.train.texts import TrainingTexts, build_texts
from t2s.train.trainer import build_trainer

RANKS = (16, 8, 32, 4)
"""Of the slots, in turn."""
WARM = 1
"""Passes before the clock starts."""


@dataclass
class Spent:
    """Of all rounds."""

    examples: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.examples / self.seconds


def main() -> None:
    """Measure and print."""
    given = _arguments()
    transformers.utils.logging.disable_progress_bar()
    config, texts = prepare(given)
    print(_described(config, texts, "tables"), flush=True)
    engine = SlotEngine(config, texts, Ladder(1, 0), capacity=max(given.slots), say=print)
    for count in given.slots:
        together, apart = Spent(), Spent()
        for _ in range(given.rounds):
            settings = [setting(config, at, given.steps) for at in range(count)]
            packed(engine, settings, given.steps, together)
            for one in settings:
                packed(engine, [one], given.steps, apart)
        ratio = together.rate / apart.rate
        print(
            f"{count} slots  packed {together.rate:.3f}, separate {apart.rate:.3f} examples/s: {ratio:.2f} x",
            flush=True,
        )
    slot, plain = Spent(), Spent()
    for _ in range(given.rounds):
        packed(engine, [setting(config, 0, given.steps)], given.steps, slot)
        separate(setting(config, 0, given.steps), texts, given.steps, plain)
    print(f"a slot's step takes {plain.rate / slot.rate:.3f} of the plain trainer's ({plain.rate:.3f} examples/s)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slots", type=numbers, default=[1, 2, 4, 8], help="how many at a time, for example 1,2,4")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps that are timed in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-c", "--config", default="configs/smollm2-135m.yaml")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """``1,2,4`` as numbers."""
    return [int(part) for part in text.split(",")]


def prepare(given: argparse.Namespace) -> tuple[Config, TrainingTexts]:
    """The configuration, and as many examples as the steps take."""
    config = load([Path(given.config)], ["training.gradient_accumulation_steps=1", *given.overrides])
    train, val, _ = build_pipeline(config.data).prepare()
    wanted = config.training.batch_size * (given.steps + WARM)
    drawn = _draw(train, wanted, "tables", config.seed)
    return config, build_texts(config, drawn, list(val)[:8], load_tokenizer(find_base(config.model)))


def setting(config: Config, number: int, steps: int) -> Config:
    """One of several unlike settings, of ``steps`` timed steps."""
    r = RANKS[number % len(RANKS)]
    lora = config.lora.model_copy(update={"r": r, "alpha": 2.0 * r})
    update = {"max_steps": steps + WARM, "epochs": float(steps + WARM), "eval_steps": None}
    return config.model_copy(update={"lora": lora, "training": config.training.model_copy(update=update)})


def packed(engine: SlotEngine, settings: list[Config], steps: int, spent: Spent) -> None:
    """Train ``settings`` side by side and close them."""
    for number, one in enumerate(settings):
        engine.open(str(number), one)
    for _ in range(WARM):
        engine.step()
    # The last step would be measured at its rung: validation is not what is compared here.
    with clock(spent, (steps - 1) * len(settings) * settings[0].training.batch_size):
        for _ in range(steps - 1):
            engine.step()
    for number in range(len(settings)):
        engine.close(str(number))


def separate(config: Config, texts: TrainingTexts, steps: int, spent: Spent) -> None:
    """The plain trainer on the same batches; its clock too starts after the first passes and stops before the last."""
    base: Any
    base, tokenizer, _ = load_base(config, for_training=True)
    transformers.set_seed(config.seed)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build_trainer(config, attach(base, config.lora), tokenizer, texts, Path(scratch), 1)
        trainer.args.save_strategy = "no"
        trainer.remove_callback(transformers.PrinterCallback)
        ticks = Ticks(now)
        trainer.add_callback(ticks)
        trainer.train()
    spent.seconds += ticks.times[WARM + steps - 2] - ticks.times[WARM - 1]
    spent.examples += (steps - 1) * config.training.batch_size


class Ticks(transformers.TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(self._clock())


class clock:
    """Adds the seconds of a block, and what was done in it, to ``spent``."""

    def __init__(self, spent: Spent, examples: int) -> None:
        self._spent, self._examples = spent, examples

    def __enter__(self) -> None:
        self._start = now()

    def __exit__(self, *_: Any) -> None:
        self._spent.seconds += now() - self._start
        self._spent.examples += self._examples


def now() -> float:
    """CPU seconds of this process, so that others' work does not count; on a GPU seconds, once it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


if __name__ == "__main__":
    main()
