"""Generation beside its peer, Hugging Face ``generate`` one question at a time: same weights, one thread, in turn.

    python -m bench.generate --adapter DIR [--questions 48] [--scores 0] [-c FILE] [key.path=value ...]

The peer writes greedily without a grammar, as most scripts do, with the adapter merged. Ours: batches
(``inference.batch_size``), and one question at a time, each with full and packed weights. Rounds of ``--chunk``
questions alternate, so that a busy machine disturbs all alike; ratios are of CPU seconds. *Identical* counts the
questions whose peer's output is a query over the table. ``--scores N`` then scores N questions of the test split under
each decoding regime, with the official execution accuracy by category; these questions are the same for all.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers

from t2s.config import Config, load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.data.sampling import sample
from t2s.evaluate.categories import CATEGORIES, category
from t2s.evaluate.score import Scorer
from t2s.evaluate.statistics import wilson
from t2s.generate import Generation, Request, load_generator
from t2s.generate.engine import Generator
from t2s.generate.fallback import write
from t2s.generate.regime import decoding_regime
from t2s.generate.weights import pack
from t2s.sql.parse import ParseFailure, parse

Answer = Callable[[Sequence[Request]], list[Generation]]
REGIMES: list[dict[str, Any]] = [
    {},
    {"grammar": "wikisql"},
    {"grammar": "wikisql", "values": "span"},
    {"grammar": "wikisql", "values": "span", "execution_guided": 3},
    {"grammar": "wikisql", "values": "span", "execution_guided": 3, "drop_empty": True},
]


def main() -> None:
    """Measure and print."""
    given = _arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    config = load([Path(given.config)], ["training.use_gpu=false", *given.overrides])
    test = list(build_pipeline(config.data).prepare()[2])
    if given.questions and config.inference.weights != "full":
        sys.exit("error: inference.weights: the race runs both kinds beside a peer on full weights; leave it out")
    generator = load_generator(config, given.adapter)
    if given.questions:
        _race(generator, config, _draw(test, given.questions, given.draw, config.seed), given.chunk)
    if given.scores:
        _scores(generator, config, sample(test, given.scores, config.seed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--adapter", type=Path, help="a trained adapter; the bare base writes hardly a valid query")
    parser.add_argument("--questions", type=int, default=48, help="for the race; 0 leaves it out")
    parser.add_argument(
        "--draw",
        choices=("tables", "questions"),
        default="tables",
        help="all questions of tables drawn at random, as a user asks several of one table, or single questions",
    )
    parser.add_argument("--chunk", type=int, default=24, help="questions in a round")
    parser.add_argument("--scores", type=int, default=0, help="questions to score under each regime")
    parser.add_argument("-c", "--config", default="configs/smollm2-135m.yaml")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _draw(examples: Sequence[Example], number: int, what: str, seed: int) -> list[Example]:
    if what == "questions":
        return sample(examples, number, seed)
    tables: dict[int, list[Example]] = {}
    for example in examples:
        tables.setdefault(id(example.schema), []).append(example)
    drawn = random.Random(seed).sample(list(tables.values()), len(tables))
    return [example for table in drawn for example in table][:number]


def _race(generator: Generator, config: Config, examples: Sequence[Example], chunk: int) -> None:
    racers = _racers(generator, config, chunk)
    spent: dict[str, list[float]] = {name: [] for name in racers}
    answers: dict[str, list[Generation]] = {name: [] for name in racers}
    for start in range(0, len(examples), chunk):
        asked = [Request(e.question, e.schema) for e in examples[start : start + chunk]]
        for name, (answer, alone) in racers.items():
            for part in [[one] for one in asked] if alone else [asked]:
                began = time.process_time()
                answers[name] += answer(part)
                spent[name].append(time.process_time() - began)
        print(f"{min(start + chunk, len(examples))} of {len(examples)} questions", flush=True)
    _report(examples, racers, spent, answers)


def _racers(generator: Generator, config: Config, chunk: int) -> dict[str, tuple[Answer, bool]]:
    """Name to how it answers, and whether one question at a time."""
    racers: dict[str, tuple[Answer, bool]] = {"hugging face": (_peer(generator), True)}
    for weights in ("full", "half"):
        model = pack(copy.deepcopy(generator.model), weights)
        for size in (chunk, 1):
            update = {"grammar": "wikisql", "batch_size": size, "weights": weights}
            inference = config.inference.model_copy(update=update)
            ours = Generator(model, generator.tokenizer, inference, config.prompt)
            racers[f"t2s {weights} batch {size}"] = (ours.generate, size == 1)
    return racers


def _peer(generator: Generator) -> Answer:
    def answer(requests: Sequence[Request]) -> list[Generation]:
        ids = generator.tokenizer(generator.prompts(requests))["input_ids"]
        writers = [generator.writer(*each, ()) for each in zip(requests, ids, strict=True)]
        for writer in writers:
            writer.constraint = None
            write(generator.model, generator.tokenizer, [writer])
        return [generator.read(writer) for writer in writers]

    return answer


def _report(
    examples: Sequence[Example],
    racers: dict[str, tuple[Answer, bool]],
    spent: dict[str, list[float]],
    answers: dict[str, list[Generation]],
) -> None:
    peer = answers["hugging face"]
    valid = [i for i, example in enumerate(examples) if _is_query(peer[i].sql, example)]
    base, base_median = sum(spent["hugging face"]), statistics.median(spent["hugging face"])
    print(f"the peer wrote a query over the table for {len(valid)} of {len(examples)} questions")
    for name, (_, alone) in racers.items():
        same = sum(answers[name][i].sql == peer[i].sql for i in valid)
        line = f"{name:20} {len(examples) / sum(spent[name]):6.2f} questions/CPU s, {base / sum(spent[name]):5.2f}x"
        latency = (
            f", median {statistics.median(spent[name]):.2f} CPU s ({base_median / statistics.median(spent[name]):.2f}x)"
        )
        print(f"{line}{latency if alone else ''}, identical {same} of {len(valid)}")
        for i in valid:
            if answers[name][i].sql != peer[i].sql:
                print(f"    {answers[name][i].sql}\n    for  {peer[i].sql}")


def _is_query(sql: str, example: Example) -> bool:
    try:
        parse(sql, example.schema.table)
    except ParseFailure:
        return False
    return True


def _scores(generator: Generator, config: Config, examples: Sequence[Example]) -> None:
    requests = [Request(e.question, e.schema, e.source) for e in examples]
    for regime in REGIMES:
        inference = config.inference.model_copy(update={"grammar": "none", **regime})
        began = time.process_time()
        answers = Generator(generator.model, generator.tokenizer, inference, config.prompt).generate(requests)
        seconds = (time.process_time() - began) / len(requests)
        with Scorer() as scorer:
            verdicts = [scorer.score(e, answer.sql) for e, answer in zip(examples, answers, strict=True)]
        print(f"{decoding_regime(inference)}: {seconds:.2f} CPU s a question")
        for name in ("overall", *CATEGORIES):
            of = [category(e.logical_form) for e in examples]
            chosen = [v for kind, v in zip(of, verdicts, strict=True) if name in ("overall", kind)]
            print(f"  {name:13} n={len(chosen):4}  EX {_share([bool(v.ex) for v in chosen])}", flush=True)


def _share(right: Sequence[bool]) -> str:
    if not right:
        return "-"
    low, high = wilson(sum(right), len(right))
    return f"{100 * sum(right) / len(right):.1f} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
