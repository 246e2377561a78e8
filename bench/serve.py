"""What Ray Serve and HTTP cost an answer: the same engine called in this process, behind HTTP here, and deployed.

The yardstick stands beside them: two deployments of Ray Serve that hold nothing of ours, one of which waits as long.

    python -m bench.serve [--requests 200] [--rounds 3] [--takes 0.02] [-c FILE] [key.path=value ...]

One caller asks one question after the other; the ways take turns. Without ``-c`` the engine is one that takes
``--takes`` seconds a batch and computes nothing, so that what is added is all that is seen; with it, the model that the
configuration names. Printed: p50 and p95 in milliseconds, and what each way adds to the engine's p50.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "token")  # before Ray is imported, which warns otherwise

import httpx
from ray import serve

from t2s.cluster.nodes import free_port
from t2s.config import Config, load
from t2s.generate.core import Generation, Request
from t2s.registry import resolve_adapter
from t2s.runtime import pin_paths, ray_session
from t2s.serve.engine import Engine, Question
from t2s.serve.in_process import InProcess, served
from t2s.serve.routes import build_api
from t2s.serve.run import GENERATOR, start, stop
from t2s.serve.service import Service
from t2s.sql.schema import parse_schema

SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"
ASKED = "What is the highest salary of number {}?"
TAKES = "T2S_BENCH_TAKES_S"
SQL = "SELECT MAX(salary) FROM employees"
Ask = Callable[[int], Awaitable[Any]]


class Timed:
    """Takes its time and computes nothing."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        time.sleep(self._takes_s)
        return [Generation(SQL, SQL, 8, True) for _ in requests]


def load_generator(config: Config, adapter: Path | None) -> Timed:
    """The engine of this measurement; Ray's processes read its time from their environment."""
    return Timed(float(os.environ[TAKES]))


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Waits:
    """As long as the engine."""

    async def __call__(self, body: Any) -> str:
        await asyncio.sleep(float(os.environ[TAKES]))
        return SQL


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Edge:
    """Hands the body on, and the answer back."""

    def __init__(self, waits: Any) -> None:
        self._waits = waits

    async def __call__(self, request: Any) -> dict[str, str]:
        return {"sql": await self._waits.remote(await request.json())}


def main() -> None:
    """Measure and print."""
    given = _arguments()
    os.environ[TAKES] = str(given.takes)
    root = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    generator = GENERATOR if given.config else "bench.serve:load_generator"
    with tempfile.TemporaryDirectory() as scratch:
        config = _config(given, scratch)
        with ray_session(config):
            try:
                deployed = start(config, generator)
                urls = {"HTTP, Ray Serve": deployed}
                if not given.config:  # a real engine takes as long as it takes
                    urls["Ray Serve, bare"] = _bare(deployed)
                engine = Engine(config, resolve_adapter(config, config.serve.adapter), generator)
                api = build_api(Service(config, InProcess(engine), engine.readiness().adapter))
                with served(api) as here:
                    _print(asyncio.run(_measure(given, engine, {"HTTP": here, **urls})))
            finally:
                stop(leave_serve=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--takes", type=float, default=0.02)
    parser.add_argument("-c", "--config", action="append", type=Path)
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _config(given: argparse.Namespace, scratch: str) -> Config:
    own = [f"serve.port={free_port()}"]
    if not given.config:
        own += [f"output_dir={scratch}", "serve.adapter=none", "model.name=timed", "ray.num_cpus=2"]
    return pin_paths(load(given.config or [], [*own, *given.overrides]))


def _bare(deployed: str) -> str:
    """Deploy the yardstick behind the same proxy; its routes do not meet ours."""
    parts: dict[str, Any] = {"edge": Edge, "waits": Waits}  # their type hides the decorator
    serve.run(parts["edge"].bind(parts["waits"].bind()), name="bare", route_prefix="/bare")
    return f"{deployed}/bare"


async def _measure(given: argparse.Namespace, engine: Engine, urls: dict[str, str]) -> dict[str, list[float]]:
    schema = parse_schema(SCHEMA)
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:

        def over(url: str) -> Ask:
            async def ask(number: int) -> None:
                body = {"question": ASKED.format(number), "schema": SCHEMA}
                (await client.post(f"{url}/v1/sql", json=body)).raise_for_status()

            return ask

        ways: dict[str, Ask] = {"engine": lambda number: engine.write(Question(ASKED.format(number), schema))}
        ways |= {name: over(url) for name, url in urls.items()}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(given.rounds + 1):
            for name, ask in ways.items():
                found = [await _timed(ask, number) for number in range(given.requests)]
                spent[name] += found if turn else []  # the first round warms up
        return spent


async def _timed(ask: Ask, number: int) -> float:
    began = time.perf_counter()
    await ask(number)
    return time.perf_counter() - began


def _print(spent: dict[str, list[float]]) -> None:
    base = statistics.median(spent["engine"])
    print(f"{len(spent['engine'])} requests each, one after the other; milliseconds")
    print(f"  {'':<18}{'p50':>8}{'p95':>8}{'added at p50':>14}")
    for name, seconds in spent.items():
        cuts = statistics.quantiles(seconds, n=20)
        print(f"  {name:<18}{cuts[9] * 1e3:8.2f}{cuts[18] * 1e3:8.2f}{(cuts[9] - base) * 1e3:14.2f}")


if __name__ == "__main__":
    main()
