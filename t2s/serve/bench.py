"""Load on an OpenAI-compatible endpoint, and how long its answers took.

Two loops. Closed: so many callers, each of whom asks again once it is answered, so that a slow endpoint is asked less.
Open: requests come at a rate whatever becomes of those before (Poisson, seeded), and each is timed from the moment it
was due, so that a late start counts too. Refused with 429 is *shed*: the endpoint did what it should under too much
load, and it is neither an answer nor a failure.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from t2s.errors import ConfigError, DataError, SetupError
from t2s.serve.client import address

SCHEMA = "TABLE: employees ( id (real), name (text), team (text), salary (real), hired (text) )"
QUESTIONS = (
    "What is the highest salary?",
    "How many employees are there?",
    "Who earns more than 5000?",
    "Which team is Ann in?",
    "What is the average salary of the team blue?",
    "When was Bo hired?",
    "Who was hired in 1998 and earns less than 3000?",
    "What is the sum of all salaries?",
)
Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, and how. With ``rate`` (requests a second) the loop is open, and ``concurrency`` is no matter."""

    url: str
    model: str
    prompts: Sequence[Messages]
    num_requests: int
    concurrency: int
    rate: float | None = None
    timeout_s: float = 120.0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Shot:
    """One request: its status (None if there was no answer), why it failed if it did, its time and tokens."""

    status: int | None
    seconds: float
    error: str = ""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """All requests of a load, and how long they took together."""

    shots: Sequence[Shot]
    seconds: float

    @property
    def answered(self) -> list[Shot]:
        """Those with an answer."""
        return [shot for shot in self.shots if shot.status == 200 and not shot.error]

    @property
    def shed(self) -> list[Shot]:
        """Those refused because there were too many."""
        return [shot for shot in self.shots if shot.status == 429]

    @property
    def failures(self) -> dict[str, int]:
        """How often what went wrong, the most frequent first."""
        return dict(Counter(shot.error for shot in self.shots if shot.error and shot.status != 429).most_common())

    def summary(self) -> dict[str, Any]:
        """The numbers, in plain types."""
        answered, shed = self.answered, self.shed
        tokens = sum(shot.tokens for shot in answered)
        return {
            "requests": len(self.shots),
            "answered": len(answered),
            "shed": len(shed),
            "failed": sum(self.failures.values()),
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "answers_per_s": round(len(answered) / self.seconds, 3),
            "tokens_per_s": round(tokens / self.seconds, 1) if tokens else None,
            "answered_ms": percentiles([shot.seconds for shot in answered]),
            "shed_ms": percentiles([shot.seconds for shot in shed]),
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """Milliseconds that 50, 95 and 99 of 100 did not exceed (nearest rank), and the largest; None of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    ranks = {f"p{percent}": ordered[math.ceil(percent / 100 * len(ordered)) - 1] for percent in (50, 95, 99)}
    return {name: round(value * 1000, 2) for name, value in (ranks | {"max": ordered[-1]}).items()}


async def measure(load: Load) -> Result:
    """Ask, after one request that is not counted and opens the way.

    Raises:
        SetupError: nobody answers at the address, or it is none.
        DataError: the endpoint refuses that first request (its token, its model, its form).
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": f"Bearer {load.token}"} if load.token else {}
    async with httpx.AsyncClient(
        headers=headers, timeout=None, limits=limits, trust_env=False, follow_redirects=False
    ) as client:
        await _first(client, load)
        began = time.perf_counter()
        shots = await (_open if load.rate else _closed)(client, load)
        return Result(shots, time.perf_counter() - began)


def completions_url(url: str) -> str:
    """Where to POST: below ``url`` if it has a path, else below ``/v1``."""
    parts = address(url)
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}/chat/completions"


def default_prompts() -> list[Messages]:
    """A few questions over one table."""
    return [_messages(SCHEMA, question) for question in QUESTIONS]


def read_prompts(path: Path) -> list[Messages]:
    """A prompt a line: ``{"question", "schema"}``, or ``{"messages": [...]}``; a DataError names the first bad line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--prompts {path}: cannot be read: {type(error).__name__}") from None
    found = [_prompt(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"--prompts {path}: holds no prompt")
    return found


def _prompt(line: str, place: str) -> Messages:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if isinstance(row, dict) and isinstance(row.get("messages"), list) and row["messages"]:
        return list(row["messages"])
    if isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("question", "schema")):
        return _messages(row["schema"], row["question"])
    raise DataError(f'{place}: expected {{"question": "…", "schema": "…"}} or {{"messages": [...]}}')


def _messages(schema: str, question: str) -> Messages:
    return [{"role": "system", "content": schema}, {"role": "user", "content": question}]


async def _first(client: httpx.AsyncClient, load: Load) -> None:
    shot = await _ask(client, load, load.prompts[0], time.perf_counter())
    if shot.status is None:
        raise SetupError(f"{load.url}: no answer ({shot.error}); is it up?")
    if shot.status < 500 and shot.status not in (200, 429):
        raise DataError(f"{load.url}: {shot.error}")


async def _closed(client: httpx.AsyncClient, load: Load) -> list[Shot]:
    turns = zip(range(load.num_requests), itertools.cycle(load.prompts), strict=False)
    callers = [_caller(client, load, turns) for _ in range(min(load.concurrency, load.num_requests))]
    return [shot for shots in await asyncio.gather(*callers) for shot in shots]


async def _caller(client: httpx.AsyncClient, load: Load, turns: Iterator[tuple[int, Messages]]) -> list[Shot]:
    return [await _ask(client, load, prompt, time.perf_counter()) for _, prompt in turns]


async def _open(client: httpx.AsyncClient, load: Load) -> list[Shot]:
    assert load.rate is not None
    dice, due, tasks = random.Random(0), time.perf_counter(), []
    for prompt in itertools.islice(itertools.cycle(load.prompts), load.num_requests):
        await asyncio.sleep(due - time.perf_counter())
        tasks.append(asyncio.create_task(_ask(client, load, prompt, due)))
        due += dice.expovariate(load.rate)
    return list(await asyncio.gather(*tasks))


async def _ask(client: httpx.AsyncClient, load: Load, prompt: Messages, due: float) -> Shot:
    body = {"model": load.model, "messages": prompt}
    try:
        async with asyncio.timeout(load.timeout_s):  # httpx's own are of single steps
            response = await client.post(completions_url(load.url), json=body)
    except (httpx.HTTPError, TimeoutError) as error:
        return Shot(None, time.perf_counter() - due, type(error).__name__)
    seconds = time.perf_counter() - due
    if response.status_code != 200:
        return Shot(response.status_code, seconds, f"HTTP {response.status_code}: {_line(response)}")
    try:
        return Shot(200, seconds, tokens=_tokens(response.json()))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Shot(200, seconds, "an answer that is no chat completion")


def _tokens(answer: dict[str, Any]) -> int:
    """Written ones, from OpenAI's ``usage`` or from our own field; 0 if it does not say."""
    answer["choices"][0]["message"]["content"]
    about = answer.get("usage") or answer.get("t2s") or {}
    return int(about.get("completion_tokens") or 0)


def _line(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        text = response.text
    return " ".join(text.split())[:100]
