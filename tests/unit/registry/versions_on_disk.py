"""Meaningless predictions and weights of adapters for tests of the registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SETTING = {
    "prompt_regime": "schema-only/1",
    "decoding": {"name": "greedy, grammar none"},
    "data": {"split": "test"},
}


def write(directory: Path, sides: dict[str, str]) -> None:
    """``predictions.jsonl``, a line a question."""
    lines = []
    for number in range(len(next(iter(sides.values())))):
        line: dict[str, object] = {"id": f"q{number}", "question": f"q {number}?", "gold": "SELECT 1"}
        for side, marks in sides.items():
            line[side] = {"sql": "", "lf": marks[number] == "1", "ex": marks[number] == "1"}
        lines.append(json.dumps(line))
    (directory / "predictions.jsonl").write_text("\n".join(lines) + "\n")


def sha(name: str) -> str:
    """The hash of the weights of ``make_run(name)``."""
    return hashlib.sha256(name.encode()).hexdigest()
