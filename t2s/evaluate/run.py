"""Evaluate an adapter beside its base: same questions, same prompts, one report, one line a question."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.data.core import Example
from t2s.data.samples import with_samples
from t2s.errors import DataError
from t2s.evaluate.answers import Answers, answer_all
from t2s.evaluate.lines import Scored, line_of, write_lines
from t2s.evaluate.report import write_report
from t2s.evaluate.results import results_of
from t2s.evaluate.score import Scorer
from t2s.evaluate.table import SIDES, to_markdown
from t2s.generate.core import Generation, Request
from t2s.generate.regime import describe_decoding
from t2s.model.adapter import weights_hash
from t2s.prompt import regime

PREDICTIONS, RESULTS, REPORT, PAGE = "predictions.jsonl", "evaluation.json", "report.md", "report.html"
SPLITS = ("train", "val", "test")
Answer = Callable[[Config, dict[str, Path | None], Sequence[Request], Callable[[int, int], None] | None], Answers]


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
    answer: Answer = answer_all,
) -> Evaluation:
    """Answer and score ``examples`` for each side of ``adapters`` (``base``: None, ``tuned``: a directory).

    ``answer`` asks the models; the usual one needs a connected Ray. Nothing is written; see :func:`write_evaluation`.
    """
    shown = config.prompt.sample_values
    requests = [Request(e.question, with_samples(e.schema, e.source, shown), e.source) for e in examples]
    started = time.perf_counter()
    answers = answer(config, adapters, requests, on_progress)
    answered_s = time.perf_counter() - started
    with Scorer() as scorer:
        scored = [_scored(scorer, example, {s: answers[s][i] for s in adapters}) for i, example in enumerate(examples)]
    lines = [_with_finish(line_of(one), {s: answers[s][i] for s in adapters}) for i, one in enumerate(scored)]
    counted = results_of(scored, lines, SIDES, config.seed)
    rows = counted["table"]
    results = {
        "data": about,
        "base": config.model.name,
        "adapter": {side: str(path) if path else None for side, path in adapters.items()},
        "adapter_sha256": {side: weights_hash(path) for side, path in adapters.items() if path},
        "prompt_regime": regime(config.prompt),
        "decoding": describe_decoding(config.inference),
        **counted,
        "seconds": {"answering": answered_s, "scoring": time.perf_counter() - started - answered_s},
    }
    return Evaluation(lines, rows, results)


def write_evaluation(evaluation: Evaluation, run_dir: Path) -> None:
    """Write ``predictions.jsonl``, ``evaluation.json``, ``report.md`` and ``report.html`` into ``run_dir``."""
    write_lines(run_dir / PREDICTIONS, evaluation.lines)
    (run_dir / RESULTS).write_text(json.dumps(evaluation.results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    data = evaluation.results["data"]
    title = f"# {data['n']} questions of {data['pipeline']} {data['split']} ({data['fingerprint']})"
    wording = evaluation.results["prompt_regime"]
    decoding = evaluation.results["decoding"]["name"]
    about = f"Base {evaluation.results['base']}, prompt {wording}, {decoding}, 95% Wilson intervals in parentheses."
    (run_dir / REPORT).write_text(f"{title}\n\n{about}\n\n{to_markdown(evaluation.rows)}\n", "utf-8")
    facts = {
        "base": evaluation.results["base"],
        **{f"adapter ({s})": path for s, path in evaluation.results["adapter"].items() if path},
        "data": f"{data['pipeline']} {data['split']}, {data['n']} questions, fingerprint {data['fingerprint']}",
        "prompt regime": str(wording),
        "decoding": evaluation.results["decoding"]["name"],
    }
    sides = [side for side in SIDES if side in evaluation.results["adapter"]]
    write_report(run_dir / PAGE, title.lstrip("# "), facts, evaluation.results, evaluation.lines, sides)


def _scored(scorer: Scorer, example: Example, answers: dict[str, Generation]) -> Scored:
    verdicts = {side: scorer.score(example, answer.sql) for side, answer in answers.items()}
    return Scored(example, scorer.gold(example), verdicts, {side: answer.sql for side, answer in answers.items()})


def _with_finish(line: dict[str, Any], answers: dict[str, Generation]) -> dict[str, Any]:
    """Adds whether the model came to an end by itself."""
    return line | {side: line[side] | {"finished": answer.finished} for side, answer in answers.items()}
