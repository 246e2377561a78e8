"""The whole application in this process: real routes, real sandbox, a rule-based engine behind a real batcher."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from t2s.config import Config, InferenceConfig, load
from t2s.errors import AdapterError, SQLError
from t2s.generate import Generation, Request
from t2s.generate.core import BASE
from t2s.registry import ResolvedAdapter
from t2s.serve.access import digest
from t2s.serve.engine import Engine
from t2s.serve.in_process import InProcess
from t2s.serve.routes import build_api
from t2s.serve.service import Service

SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"
TOKEN = "a-token-of-enough-length"
ANSWERS = {
    "garbage": "I think it is about <b>40</b>",
    "hostile": "DROP TABLE employees",
    "nobody": "SELECT name FROM employees WHERE id = 99",
    "everybody": "SELECT name, salary FROM employees ORDER BY id",
    "cells": "SELECT name, salary FROM employees",
    "script": "SELECT '<script>alert(1)</script>' AS \"<script>alert(2)</script>\" FROM employees",
}


class Rules:
    """Writes what a word of the question says. ``hold`` lets a question with "slow" wait until it is wanted no more.

    It holds adapters as the real one does, and a "brief" answer says whose it is.
    """

    def __init__(self, adapter: Path, inference: InferenceConfig | None = None) -> None:
        self.adapter, self.inference = adapter, inference
        self.held: dict[str | None, Path] = {None: adapter, BASE: Path("/base")}
        self.batches: list[list[str]] = []
        self.slow = threading.Event()
        self.stopped = threading.Event()

    def with_inference(self, inference: InferenceConfig) -> Rules:
        other = Rules(self.adapter, inference)
        other.batches, other.held = self.batches, self.held
        return other

    def read_adapter(self, directory: Path) -> Path:
        if directory.name == "bad":
            raise AdapterError("bad is of another base")
        return directory

    def attach(self, name: str, adapter: Path) -> None:
        assert name not in self.held
        self.held[name] = adapter

    def detach(self, name: str) -> None:
        del self.held[name]

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.batches.append([request.question for request in requests])
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generation:
        if "impossible" in request.question:
            raise SQLError("this question\ncannot be asked")
        if "endless" in request.question:
            return Generation("", "", 0, False, 9000, "the prompt has 9000 tokens")
        if "bug" in request.question:
            raise RuntimeError(f"the inside: {TOKEN}")
        if "slow" in request.question:
            self.slow.set()
            for _ in range(100):
                if request.should_stop is not None and request.should_stop():
                    self.stopped.set()
                    break
                threading.Event().wait(0.01)
        if "brief" in request.question:
            time.sleep(0.002)
            return Generation(f"SELECT 'of {self.held[request.adapter]}'", "", 3, True)
        sql = next(
            (sql for word, sql in ANSWERS.items() if word in request.question), "SELECT max(salary) FROM employees"
        )
        if self.inference is not None:
            sql = f"{sql} -- {self.inference.grammar} {self.inference.execution_guided}"
        finished = "unfinished" not in request.question and (request.max_tokens or 99) > 2
        return Generation(sql, sql, len(sql.split()), finished, len(request.question.split()))


LOADED: list[Rules] = []


def load_generator(config: Config, adapter: Path | None) -> Rules:
    if adapter is not None and adapter.name == "bad":
        raise AdapterError("bad is of another base")
    LOADED.append(Rules(adapter or Path("/")))
    return LOADED[-1]


class Rig:
    """The application over a database of nine employees, and what is inside it."""

    def __init__(self, folder: Path, *settings: str, token: str | None = None, model: Any = None) -> None:
        with sqlite3.connect(folder / "firm.db") as database:
            database.execute("CREATE TABLE employees (id INTEGER, name TEXT, salary REAL)")
            rows = [(i, f"n{i}", 10.0 * i) for i in range(9)]
            database.executemany("INSERT INTO employees VALUES (?, ?, ?)", rows)
        fixed = [f"serve.databases.firm={folder}/firm.db", "serve.max_rows=5", "serve.batch_wait_timeout_s=0"]
        self.config = load([], [*fixed, "model.name=rules", *settings])
        self.engine = Engine(self.config, ResolvedAdapter(Path("/"), "7", "run7"), f"{__name__}:load_generator")
        self.rules = LOADED[-1]
        self.service = Service(self.config, model or InProcess(self.engine), self.engine.adapter)
        self.api = build_api(self.service, (digest(token),) if token else ())

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One request, over ASGI."""
        return asyncio.run(self._ask(method, path, **given))

    def post(self, path: str, body: Any, **given: Any) -> httpx.Response:
        """One JSON request."""
        return self.ask("POST", path, json=body, **given)

    def client(self) -> httpx.AsyncClient:
        """For tests that send several at once."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.api, raise_app_exceptions=False), base_url="http://localhost"
        )

    async def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        async with self.client() as client:
            return await client.request(method, path, **given)
