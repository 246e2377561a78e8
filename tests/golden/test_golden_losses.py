"""Ten seeded losses of the tiny model on a 4-bit base: a change that should not alter computation does not move them.

After a change that should (another prompt is not one: these texts are fixed), write them anew and say why in the
commit: ``python tests/golden/test_golden_losses.py``. Not covered: other devices, and other versions of torch, whose
random numbers may differ.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for running this file by itself
from tiny_model import losses, save_tiny_model, tiny_trainer

from t2s.config import load

GOLDEN = Path(__file__).with_name("tiny_losses.txt")


def ten_losses(folder: Path) -> list[float]:
    """Ten steps with dropout, warm-up, clipping and a second epoch."""
    settings = ["training.max_steps=10", "training.batch_size=4", "training.gradient_accumulation_steps=2"]
    settings += ["training.learning_rate=3e-3", "training.warmup_ratio=0.2", "training.logging_steps=1"]
    settings += ["training.use_gpu=false", f"model.name={save_tiny_model(folder / 'model')}"]
    return losses(tiny_trainer(load([], settings), folder / "out"))


def test_ten_losses_are_the_golden_ones(tmp_path: Path) -> None:
    lines = [line.split() for line in GOLDEN.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [int(step) for step, _ in lines] == list(range(1, 11))
    assert ten_losses(tmp_path) == pytest.approx([float(loss) for _, loss in lines], rel=1e-5)


if __name__ == "__main__":
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        rows = [f"{step} {loss!r}" for step, loss in enumerate(ten_losses(Path(scratch)), 1)]
    GOLDEN.write_text("\n".join([f"# step, loss; torch {torch.__version__}, CPU, fp32 on NF4", *rows, ""]), "utf-8")
