"""An engine for tests: each batch takes a set time, each answer names the weights that wrote it, words do mischief."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from t2s.config import Config
from t2s.generate import Generation, Request

TAKES = "T2S_TIMED_S"
TOKEN_S = 0.05


class Timed:
    """``tokens N`` writes N tokens one after the other and notes when it stopped; ``hang`` never ends."""

    def __init__(self, weights: str, notes: Path) -> None:
        self._weights, self._notes = weights, notes

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        while any(request.question.startswith("hang") for request in requests):
            time.sleep(1)
        slow = [request for request in requests if request.question.startswith("tokens")]
        for request in slow:
            self._write_tokens(request)
        if len(slow) < len(requests):
            time.sleep(float(os.environ[TAKES]))
        sql = f"SELECT '{self._weights}'"
        return [Generation(sql, sql, 4, True) for _ in requests]

    def _write_tokens(self, request: Request) -> None:
        written = 0
        while written < int(request.question.split()[1]) and not (request.should_stop and request.should_stop()):
            time.sleep(TOKEN_S)
            written += 1
        with self._notes.open("a") as notes:
            notes.write(f"{request.question}|{written}|{time.time()}\n")


def load_generator(config: Config, adapter: Path | None) -> Timed:
    weights = (adapter / "adapter_model.safetensors").read_text() if adapter else "none"
    return Timed(weights, config.output_dir / "notes.txt")
