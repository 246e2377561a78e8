"""Evaluate an adapter beside its base: same questions, same prompts, one table, one line a question."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.data.core import Example
from t2s.errors import DataError
from t2s.evaluate.answers import answer_all
from t2s.evaluate.categories import category
from t2s.evaluate.score import Scorer
from t2s.evaluate.table import outcomes, summarize, to_markdown
from t2s.generate.core import Generation, Request
from t2s.prompt import PROMPT_REGIME

PREDICTIONS, RESULTS, REPORT = "predictions.jsonl", "evaluation.json", "report.md"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Evaluation:
    """The scored questions and their table; ``results`` is what ``evaluation.json`` holds."""

    lines: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    results: dict[str, Any]


def choose_examples(config: Config, split: str, max_samples: int | None) -> tuple[list[Example], dict[str, Any]]:
    """The questions to ask, drawn with ``seed``, and an account of where they come from."""
    from t2s.data.pipelines import build_pipeline, fingerprint
    from t2s.data.sampling import sample

    examples = build_pipeline(config.data).prepare()[SPLITS.index(split)]
    chosen = sample(examples, max_samples, config.seed)
    if not chosen:
        raise DataError(f"data: the {split} split of pipeline {config.data.pipeline} is empty")
    about = {
        "pipeline": config.data.pipeline,
        "split": split,
        "n": len(chosen),
        "fingerprint": fingerprint(chosen),
    }
    return chosen, about


def evaluate(
    config: Config,
    adapters: dict[str, Path | None],
    examples: Sequence[Example],
    about: dict[str, Any],
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Answer and score ``examples`` for each side of ``adapters`` (``base``: None, ``tuned``: a directory).

    Ray must be connected. Nothing is written; see :func:`write_evaluation`.
    """
    requests = [Request(example.question, example.schema) for example in examples]
    started = time.perf_counter()
    answers = answer_all(config, adapters, requests, on_progress)
    answered_s = time.perf_counter() - started
    with Scorer() as scorer:
        lines = [
            _line(scorer, example, {side: answers[side][i] for side in adapters}) for i, example in enumerate(examples)
        ]
    rows = summarize(lines)
    results = {
        "data": about,
        "base": config.model.name,
        "adapter": {side: str(path) if path else None for side, path in adapters.items()},
        "prompt_regime": PROMPT_REGIME,
        "decoding": {"greedy": True, "grammar": config.inference.grammar},
        "table": rows,
        "outcomes": {side: outcomes(lines, side) for side in adapters},
        "seconds": {"answering": answered_s, "scoring": time.perf_counter() - started - answered_s},
    }
    return Evaluation(lines, rows, results)


def write_evaluation(evaluation: Evaluation, run_dir: Path) -> None:
    """Write ``predictions.jsonl``, ``evaluation.json`` and ``report.md`` into ``run_dir``."""
    with (run_dir / PREDICTIONS).open("w", encoding="utf-8") as stream:
        for line in evaluation.lines:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    (run_dir / RESULTS).write_text(json.dumps(evaluation.results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    data = evaluation.results["data"]
    title = f"# {data['n']} questions of {data['pipeline']} {data['split']} ({data['fingerprint']})"
    about = f"Base {evaluation.results['base']}, prompt {PROMPT_REGIME}, greedy, 95% Wilson intervals in parentheses."
    (run_dir / REPORT).write_text(f"{title}\n\n{about}\n\n{to_markdown(evaluation.rows)}\n", "utf-8")


def _line(scorer: Scorer, example: Example, answers: dict[str, Generation]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": example.id,
        "question": example.question,
        "category": category(example.logical_form) if example.logical_form else "other",
        "gold": example.sql,
    }
    for side, answer in answers.items():
        verdict = scorer.score(example, answer.sql)
        line[side] = {
            "sql": answer.sql,
            "lf": verdict.lf,
            "ex": verdict.ex,
            "repaired_ex": verdict.repaired_ex,
            "outcome": str(verdict.outcome),
            "detail": verdict.detail,
            "finished": answer.finished,
        }
    return line
