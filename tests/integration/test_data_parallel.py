"""Several workers and accumulated passes compute what one worker computes in one pass (fp32, CPU).

Stated tolerance for six steps, as the norm of the difference: losses 2e-5, each of the adapter's matrices 2e-3 (AdamW
divides by the gradient's own size, so that a rounding error of a tiny gradient is as large as a step). Dropout is off:
its random numbers are a worker's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from safetensors.torch import load_file, save_file
from tiny_model import tiny_texts
from transformers import set_seed

from t2s.config import Config, load
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import build_trainer

Overrides = Callable[[Path], list[str]]

LOSSES, WEIGHTS = 2e-5, 2e-3
CASES = {"uneven_last_batch": (29, 1), "shared_rows": (36, 4)}
"""Name to (examples, questions a row); the global batch is 8. Of 29, the last 5 leave one worker without examples."""
SPLITS = {1: ((8, 1), (4, 2)), 2: ((4, 1), (2, 2))}
"""Workers to (batch size, accumulated passes)."""


def compute(model: Path, out: Path, world_size: int) -> None:
    """Train each case in this process, one of ``world_size``, and leave losses and weights in ``out``."""
    for name, (count, per_row) in CASES.items():
        for batch, passes in SPLITS[world_size]:
            config = load([], [*SETTINGS, f"model.name={model}", f"training.questions_per_row={per_row}",
                f"training.batch_size={batch}", f"training.gradient_accumulation_steps={passes}"])  # fmt: skip
            trainer = trained(config, count, per_row > 1, out / "scratch", world_size)
            rows = trainer.state.log_history
            found = {
                "losses": torch.tensor([row["loss"] for row in rows if "loss" in row], dtype=torch.float64),
                "eval": torch.tensor([trainer.evaluate()["eval_loss"]], dtype=torch.float64),
            }
            bare = trainer.accelerator.unwrap_model(trainer.model)
            found |= {key: p.detach().clone() for key, p in bare.named_parameters() if p.requires_grad}
            if trainer.args.process_index == 0:
                save_file(found, out / f"{name}-{world_size}x{batch}x{passes}.safetensors")


SETTINGS = ["training.max_steps=6", "training.learning_rate=3e-3", "training.logging_steps=1", "training.use_gpu=false",
            "lora.dropout=0.0", "lora.target_modules=all-linear", "inference.batch_size=5"]  # fmt: skip


def trained(config: Config, count: int, tables: bool, out: Path, world_size: int) -> Any:
    torch.set_num_threads(1)
    model, tokenizer, _ = load_base(config, for_training=True)
    set_seed(config.seed)
    whole = tiny_texts(tokenizer, tables)
    texts: TrainingTexts = replace(whole, train=whole.train[:count], val=whole.val[:7])
    trainer = build_trainer(config, attach(model, config.lora), tokenizer, texts, out, world_size)
    trainer.args.save_strategy = "no"
    trainer.train()
    return trainer


def worker(rank: int, model: Path, out: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    torch.distributed.init_process_group("gloo", init_method=f"file://{out / 'meet'}", rank=rank, world_size=2)
    compute(model, out, 2)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def computed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """What each case gave for each split of the work."""
    out = tmp_path_factory.mktemp("parallel")
    two = multiprocessing.spawn(worker, (tiny_model, out), nprocs=2, join=False)  # type: ignore[no-untyped-call]
    compute(tiny_model, out, 1)
    while not two.join():
        pass
    return {file.stem: load_file(file) for file in out.glob("*.safetensors")}


@pytest.mark.parametrize("case", CASES)
def test_workers_and_passes_give_the_steps_of_one_large_batch(
    computed: dict[str, dict[str, torch.Tensor]], case: str
) -> None:
    expected = computed[f"{case}-1x8x1"]
    assert len(expected["losses"]) == 6 and expected["losses"][-1] < expected["losses"][0] - 0.5, "nothing was learned"
    others = [name for name in computed if name.startswith(f"{case}-") and name != f"{case}-1x8x1"]
    assert len(others) == 3
    for name in others:
        far = {key: distance(computed[name][key], expected[key]) for key in expected}
        print(name, *(f"{key} {far[key]:.1e}" for key in ("losses", "eval")), f"weights {max(far.values()):.1e}")
        assert far["losses"] <= LOSSES and far["eval"] <= LOSSES, name
        assert max(far.values()) <= WEIGHTS, name


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference, as a share of what is expected."""
    return float((found - expected).norm() / expected.norm())
