"""A small shop behind the real application: routes, sandbox and engine are real, rules stand in for the model."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException

from t2s.config import Config, InferenceConfig, load
from t2s.generate import Generation, Request
from t2s.registry import ResolvedAdapter
from t2s.serve.access import digest
from t2s.serve.engine import Engine, Question, Written
from t2s.serve.routes import build_api
from t2s.serve.schemas import Readiness
from t2s.serve.service import Service

SHOP = """
CREATE TABLE products (name TEXT, category TEXT, price REAL, stock INTEGER);
INSERT INTO products VALUES ('Watering can', 'garden', 18.5, 42), ('Pruning shears', 'garden', 24.9, 17),
  ('Cold frame', 'garden', 89.0, 6), ('Seed tray', 'garden', 6.2, 130), ('Oil lamp', 'home', 35.0, 12),
  ('Wool blanket', 'home', 64.0, 9), ('Linen towel', 'home', 12.8, 55), ('Bread knife', 'kitchen', 29.5, 21);
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, "<b>note</b>" TEXT);
INSERT INTO customers VALUES (1, 'Ada', 'Oslo', NULL), (2, 'Bo', 'Turin', '<img src=x onerror="window.hacked=3">');
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), product TEXT, placed TEXT);
"""
HACK = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
QUOTED = HACK.replace("'", "''")
GARDEN = "Which garden products cost less than 30, and how many are left?"
TUNED = {
    GARDEN: "SELECT name, price, stock FROM products WHERE category = 'garden' AND price < 30",
    "dearest": "SELECT MAX(price) FROM products",
    "everything": "SELECT * FROM products",
    "notes": 'SELECT name, "<b>note</b>" FROM customers',
    "hostile": f"SELECT '{QUOTED}' AS \"{HACK}\" /* {HACK} */",
    "big": "SELECT 9007199254740993 AS big, -1.5 AS small",
    "garbage": f"I think {HACK}",
    "regions": "SELECT region, amount FROM sales WHERE amount > 10",
    "wide": f"SELECT '{'w' * 300}' AS {'a_long_name_' * 12}, * FROM products",
}
BASE = {GARDEN: "SELECT name, price FROM products WHERE price < 30", "dearest": "SELECT MAX(price) FROM products"}


class Shopkeeper:
    """Answers by a word of the question; the base knows less."""

    def __init__(self, adapter: Path | None) -> None:
        self.adapter = adapter

    def with_inference(self, inference: InferenceConfig) -> Shopkeeper:
        return self

    def read_adapter(self, directory: Path) -> Path:
        return directory

    def attach(self, name: str, adapter: Any) -> None:
        self.adapter = adapter

    def detach(self, name: str) -> None:
        self.adapter = None

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generation:
        known = BASE if self.adapter is None or request.adapter == "base" else TUNED
        sql = next((sql for word, sql in known.items() if word in request.question), "SELECT unheard_of FROM products")
        return Generation(sql, sql, len(sql.split()), True)


def load_generator(config: Config, adapter: Path | None) -> Shopkeeper:
    return Shopkeeper(adapter)


class Counter:
    """An engine in this process; ``refusals`` questions are turned away first, and ``held`` keeps them waiting."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.refusals, self.held = engine, 0, False

    async def write(self, question: Question) -> Written:
        if self.refusals:
            self.refusals -= 1
            raise HTTPException(429, "the queue is full", {"Retry-After": "1"})
        while self.held:
            await asyncio.sleep(0.01)
        return await self.engine.write(question)

    async def readiness(self) -> Readiness:
        return self.engine.readiness()


class Shop:
    """The endpoint's parts, and where it listens."""

    def __init__(self, folder: Path, names: Sequence[str], token: str | None, adapter: ResolvedAdapter) -> None:
        with closing(sqlite3.connect(folder / "shop.db")) as database:
            database.executescript(SHOP)
        attached = json.dumps(dict.fromkeys(names, str(folder / "shop.db")))
        config = load([], [f"serve.databases={attached}", "serve.batch_wait_timeout_s=0", "model.name=SmolLM2-135M"])
        self.model = Counter(Engine(config, adapter, f"{__name__}:load_generator"))
        self.service = Service(config, self.model, self.model.engine.adapter)
        self.api = build_api(self.service, (digest(token),) if token else ())
        self.url = ""


@contextmanager
def shop(
    folder: Path,
    names: Sequence[str] = ("shop",),
    token: str | None = None,
    adapter: ResolvedAdapter = ResolvedAdapter(Path("/adapter"), "7", "4f1c2a"),
) -> Iterator[Shop]:
    """The application on a free port of this machine."""
    made = Shop(folder, names, token, adapter)
    server = uvicorn.Server(uvicorn.Config(made.api, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "uvicorn ended"
            thread.join(0.01)
        made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield made
    finally:
        server.should_exit = True
        thread.join(10)
        made.service.close()
