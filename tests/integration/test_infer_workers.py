"""``t2s infer --workers`` on a real Ray: the answers of one model, from two, one of which is killed."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from t2s.cli.main import run
from t2s.config import load
from t2s.generate.core import Generation, Request
from t2s.generate.spread import Spread
from t2s.runtime import ray_session
from t2s.sql.schema import parse_schema

SCHEMAS = [parse_schema("TABLE: t ( a (text) )"), parse_schema("TABLE: longer ( a (text), b (real) )")]


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes do not know this file
    with ray_session(load([], ["ray.num_cpus=2"])):
        yield


class Mortal:
    """Repeats the question, notes what it was asked, and dies the first time that it is asked for it."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        time.sleep(0.2)
        for request in requests:
            (self._notes / f"{os.getpid()}-{request.question}").touch()
        dead = self._notes / "dead"
        if any(request.question == "die" for request in requests) and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Generation(request.question, str(os.getpid()), 1, True) for request in requests]


def test_a_killed_copy_costs_no_answer_and_schemas_stay_together(ray_here: None, tmp_path: Path) -> None:
    requests = [Request("die" if number == 11 else f"q{number}", SCHEMAS[number % 2]) for number in range(40)]
    spread = Spread(functools.partial(Mortal, tmp_path), copies=2, size=4)
    batches = list(spread.stream(requests))
    found = [pair for batch in batches for pair in batch]
    assert (tmp_path / "dead").exists()
    assert {at: answer.sql for at, answer in found} == {at: each.question for at, each in enumerate(requests)}
    assert len(found) == len(requests), "each is answered once"
    assert len({answer.text for _, answer in found}) >= 2, "a new process took the place of the one that died"
    mixed = [batch for batch in batches if len({requests[at].schema for at, _ in batch}) > 1]
    assert len(mixed) <= 1 and max(map(len, batches)) <= 4


def test_two_workers_answer_a_file_as_one_model_does(
    ray_here: None,
    tiny_overrides: Callable[[Path], list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["quantization.load_in_4bit=false", "inference.grammar=wikisql", "inference.batch_size=2"]
    words = ["infer", "--adapter-path", "none", *tiny_overrides(tmp_path / "runs"), *own]
    rows = [{"question": f"Who is {n}?", "schema": f"TABLE: t{n % 3} ( name (text), age (real) )"} for n in range(18)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found: dict[str, list[dict[str, Any]]] = {}
    for name, more in {"one": [], "two": ["--workers", "2"]}.items():
        output = tmp_path / f"{name}.jsonl"
        assert run([*words, "--input", str(tmp_path / "in.jsonl"), "--output", str(output), *more]) == 0
        found[name] = [json.loads(line) for line in output.read_text().splitlines()]
    assert found["one"] == found["two"] and len(found["two"]) == 18
    capsys.readouterr()
    assert run([*words, "--question", "Who?", "--schema", "TABLE: t ( a (text) )", "--workers", "2"]) == 2
    assert "--workers goes with --input" in capsys.readouterr().err
