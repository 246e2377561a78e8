"""What each prompt regime costs in tokens an example, on the same questions: ``python -m bench.prompts``.

Any ``key.path=value`` follows; by default SmolLM2's tokenizer and 2,000 training questions of the configured WikiSQL.
Printed: tokens of prompt + SQL + end token (mean, 95th percentile, longest), the share over ``training.max_length``,
prompts that could show no values, and the seconds for rendering with a cold and with a warm cache of values.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from t2s.config import Config, PromptConfig, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.data.samples import has_samples
from t2s.data.sampling import sample
from t2s.model.base import find_base
from t2s.model.load import load_tokenizer
from t2s.prompt import build_completion, regime
from t2s.train.encode import encode
from t2s.train.texts import to_prompt

NUM_QUESTIONS = 2_000
REGIMES: tuple[dict[str, Any], ...] = (
    {},
    {"style": "ddl"},
    {"sample_values": 3},
    {"style": "ddl", "sample_values": 3},
)


def main(overrides: list[str]) -> None:
    """Print the table as Markdown."""
    config = load([Path("configs/smollm2-135m.yaml")], overrides)
    train, _, _ = build_pipeline(config.data).prepare()
    examples = sample(train, config.training.max_train_samples or NUM_QUESTIONS, config.seed)
    tokenizer = load_tokenizer(find_base(config.model))
    print(f"{len(examples)} training questions of {config.data.pipeline}, tokens of {config.model.name}\n")
    print("| prompt | mean | p95 | longest | × schema-only | too long | without values | render s (cold, warm) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    first = 0.0
    for settings in REGIMES:
        row, mean = _row(config, PromptConfig.model_validate(settings), examples, tokenizer, first)
        first = first or mean
        print(row, flush=True)


def _row(
    config: Config, prompt: PromptConfig, examples: list[Example], tokenizer: Any, first: float
) -> tuple[str, float]:
    seconds = []
    for _ in ("cold", "warm"):
        started = time.process_time()
        prompts = [to_prompt(example, prompt) for example in examples]
        seconds.append(time.process_time() - started)
    pairs = [(made.text, build_completion(example.sql)) for made, example in zip(prompts, examples, strict=True)]
    lengths = sorted(len(each) for each in encode(pairs, range(len(pairs)), tokenizer))
    mean, p95 = sum(lengths) / len(lengths), lengths[int(0.95 * len(lengths))]
    too_long = sum(length > config.training.max_length for length in lengths)
    bare = sum(not has_samples(made.fitted.schema) for made in prompts) if prompt.sample_values else 0
    times = ", ".join(f"{each:.2f}" for each in seconds)
    cells = (regime(prompt), f"{mean:.1f}", p95, lengths[-1], f"{mean / (first or mean):.2f}", too_long, bare, times)
    return f"| {' | '.join(map(str, cells))} |", mean


if __name__ == "__main__":
    main(sys.argv[1:])
