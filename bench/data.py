"""How fast training data is read and rendered, beside a bare loop of ``json.loads`` over the same files.

    python -m bench.data PATH [--split train] [--rounds 3]

PATH is WikiSQL: an archive or a directory. Prints CPU seconds of this process, the best of the rounds, which take
turns, so that a busy machine touches all alike. *read* is files to examples with their SQL, *prompt* is examples
to training texts; unpacking happens once, before. Not measured: tokenizing, which training does once more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from t2s.config import PromptConfig
from t2s.data.core import Example
from t2s.data.layout import data_folder
from t2s.data.wikisql import WikiSQLPipeline
from t2s.prompt import build_completion, build_prompt
from t2s.sql.render import render

GOAL_S = 10.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.data", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="an archive or a directory in WikiSQL's layout")
    parser.add_argument("--split", default="train", choices=("train", "dev", "test"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        pipeline = WikiSQLPipeline(arguments.path, Path(cache))
        report(pipeline, pipeline.root(), arguments.split, arguments.rounds)


def report(pipeline: WikiSQLPipeline, root: Path, split: str, rounds: int) -> None:
    """Time each step ``rounds`` times in turn and print the best of each."""
    folder = data_folder(root, split)
    files = [folder / f"{split}.jsonl", folder / f"{split}.tables.jsonl"]
    examples = pipeline.read(root, split)
    steps: dict[str, Callable[[], object]] = {
        "json.loads over the same files": lambda: plain(files),
        "read": lambda: pipeline.read(root, split),
        "  of which SQL is rendered": lambda: sql_again(examples),
        "prompt": lambda: texts(examples),
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            best[name] = min(best[name], cpu_seconds(step))
    bare = best["json.loads over the same files"]
    print(f"{len(examples)} {split} examples, CPU seconds, best of {rounds}")
    for name, seconds in best.items():
        print(f"{name:32} {seconds:7.2f} s  {seconds / bare:5.1f} x json.loads  {len(examples) / seconds:9.0f}/s")
    total = best["read"] + best["prompt"]
    print(f"{'read and rendered':32} {total:7.2f} s  (goal for the 51,218 of the shared archive: {GOAL_S:g} s)")


def cpu_seconds(step: Callable[[], object]) -> float:
    """CPU seconds of this process for one call."""
    started = time.process_time()
    step()
    return time.process_time() - started


def plain(files: list[Path]) -> int:
    """What reading costs at least in Python: every line parsed and forgotten."""
    count = 0
    for path in files:
        with path.open(encoding="utf-8") as file:
            for line in file:
                count += len(json.loads(line))
    return count


def sql_again(examples: list[Example]) -> int:
    """The part of reading that turns logical forms to SQL."""
    return sum(len(render(e.logical_form, e.schema.table)) for e in examples if e.logical_form)


def texts(examples: list[Example]) -> int:
    """Prompts and completions, as training renders them."""
    config = PromptConfig()
    return sum(len(build_prompt(e.question, e.schema, config)) + len(build_completion(e.sql)) for e in examples)


if __name__ == "__main__":
    main()
