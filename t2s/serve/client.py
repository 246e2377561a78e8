"""Ask an endpoint. Asking changes nothing there, so every retry is safe."""

from __future__ import annotations

import os
import random
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from t2s.errors import DataError, RunError, SetupError
from t2s.serve.access import TOKEN_VARIABLE, is_loopback

ATTEMPTS = 5
MAX_WAIT_S = 10.0
SPREAD = 0.5
"""Who was refused together must not come back together: waits are up to this much longer."""
RETRIED = (429, 500, 502, 503)
"""Not 504: a question that took too long would again."""


def ask(
    url: str,
    question: str,
    schema: str | None = None,
    database: str | None = None,
    table: str | None = None,
    execute: bool = True,
    timeout_s: float = 120.0,
    token: str | None = None,
) -> dict[str, Any]:
    """``POST /v1/sql`` and return the answer; retries when the endpoint is full, restarting or away.

    ``token`` is sent as a bearer token; None sends what T2S_SERVE_TOKEN holds to an endpoint on this machine, and
    nothing to another one.

    Raises:
        DataError: the endpoint refuses the question (its own line).
        SetupError: nobody answers at ``url``.
        RunError: the endpoint failed, stayed full, did not answer in ``timeout_s``, or is none of ours.
    """
    given = {"question": question, "schema": schema, "database": database, "table": table, "execute": execute}
    body = {key: value for key, value in given.items() if value is not None}
    headers, problem = _authorization(url, token), ""
    for attempt in range(ATTEMPTS):
        try:
            response = httpx.post(
                f"{url.rstrip('/')}/v1/sql", json=body, headers=headers, timeout=timeout_s, trust_env=False
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise SetupError(f"{url!r} is not an endpoint's address: {error}; try http://127.0.0.1:8000") from None
        except httpx.ReadTimeout:  # as for 504
            raise RunError(f"{url}: no answer within {timeout_s:g} s") from None
        except httpx.TransportError as error:
            problem, wait_s = f"{type(error).__name__} {error}", 0.5 * 2**attempt
        else:
            if response.status_code not in RETRIED:
                return _read(response)
            problem, wait_s = _error(response), _retry_after(response, attempt)
        if attempt < ATTEMPTS - 1:
            time.sleep(min(wait_s, MAX_WAIT_S) * random.uniform(1, 1 + SPREAD))
    kind = RunError if problem.startswith("HTTP") else SetupError
    raise kind(f"{url}: no answer after {ATTEMPTS} attempts ({problem}); is it up? start one: t2s serve")


def address(url: str) -> SplitResult:
    """The parts of ``url``; a SetupError if it is no address of an HTTP server."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # brackets, or a port that is no number
        pass
    raise SetupError(f"{url!r} is not an endpoint's address; try http://127.0.0.1:8000")


def _authorization(url: str, token: str | None) -> dict[str, str]:
    if token is None and is_loopback(address(url).hostname or ""):
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _read(response: httpx.Response) -> dict[str, Any]:
    if response.status_code == 200:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("sql"), str):
            return answer
        raise RunError(f"{response.url}: answered with something that is not a t2s answer; is this a t2s endpoint?")
    if response.status_code < 500:
        raise DataError(_error(response))
    raise RunError(_error(response))


def _error(response: httpx.Response) -> str:
    try:
        line = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        line = response.text[:200]
    return f"HTTP {response.status_code}: {' '.join(line.split())}"


def _retry_after(response: httpx.Response, attempt: int) -> float:
    text = response.headers.get("Retry-After", "")
    return max(float(text) if text.isdigit() else 0.0, 0.5 * 2**attempt)
