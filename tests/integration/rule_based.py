"""An engine for tests: what it writes follows from the words of the question, through the real interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from t2s.config import Config
from t2s.errors import SQLError
from t2s.generate import Generation, Request

SLOW = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
ANSWERS = {
    "garbage": "I think it is about 40",
    "hostile": "DROP TABLE employees",
    "elsewhere": "SELECT * FROM secrets",
    "unknown column": 'SELECT "wage" FROM employees',
    "forever": SLOW,
    "everybody": "SELECT name, salary FROM employees ORDER BY id",
    "script": "SELECT '<script>alert(1)</script>' FROM employees",
}


class RuleBased:
    """Looks for a key of ``ANSWERS`` in the question; else the highest salary."""

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        if any("impossible" in request.question for request in requests):
            raise SQLError("this question\ncannot be asked")
        if any("sleep" in request.question for request in requests):
            time.sleep(0.5)
        for request in requests:
            _hold(request)
        return [self._answer(request.question) for request in requests]

    def _answer(self, question: str) -> Generation:
        sql = next((sql for word, sql in ANSWERS.items() if word in question), "SELECT MAX(salary) FROM employees")
        return Generation(sql, f" {sql}", len(sql.split()), finished="unfinished" not in question)


def _hold(request: Request) -> None:
    """A question "hold N" takes N seconds, unless nobody waits for it any more."""
    until = time.monotonic() + (float(request.question.split()[1]) if request.question.startswith("hold") else 0)
    while time.monotonic() < until and not (request.should_stop and request.should_stop()):
        time.sleep(0.02)


def load_generator(config: Config, adapter: Path | None) -> RuleBased:
    return RuleBased()


def broken(config: Config, adapter: Path | None) -> RuleBased:
    raise SQLError("no such weights")
