"""The HTTP edge: limits on bodies and time, and errors as one JSON line.

Not covered: who may call, which is :mod:`t2s.serve.access`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from t2s.errors import T2SError
from t2s.serve.schemas import MAX_BODY_BYTES

OPENAI_PATHS = frozenset({"/v1/chat/completions", "/v1/models"})
BODY_S = 30.0
"""Seconds that a body may take to come, from its headers on."""
log = logging.getLogger("ray.serve")


class LimitBody:
    """ASGI middleware: 413 for a body over the limit, whether it says its length or not; 408 for one that drips in."""

    def __init__(self, app: Any, max_bytes: int = MAX_BODY_BYTES, seconds: float = BODY_S) -> None:
        """``max_bytes`` is the largest body passed on, ``seconds`` what it may take to come."""
        self.app, self.max_bytes, self.seconds = app, max_bytes, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body up to the limit, then hand it on whole: the application needs all of it anyway."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._read(receive)
        except TimeoutError:
            response = failure(scope["path"], 408, f"the body did not come within {self.seconds:g} s")
            return await response(scope, receive, send)
        if body is None:
            return None
        if len(body) > self.max_bytes:
            response = failure(scope["path"], 413, f"the body is over {self.max_bytes} bytes")
            return await response(scope, receive, send)
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        return await self.app(scope, replay, send)

    async def _read(self, receive: Any) -> bytearray | None:
        """The body, or more than the limit of it; None if the client went away."""
        body, more = bytearray(), True
        while more and len(body) <= self.max_bytes:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body


class LimitTime:
    """ASGI middleware: 504 for what has no answer in time. The work is cancelled, down to the decoder."""

    def __init__(self, app: Any, seconds: float) -> None:
        """``seconds`` from the whole body to the end of the answer; who reads one more slowly gets a part of it."""
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, for a while."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        line = f"no answer within {self.seconds:g} s (serve.request_timeout_s)"
        late = failure(scope["path"], 504, line)
        await within(asyncio.timeout(self.seconds), late, self.app, scope, receive, send)


async def within(limit: asyncio.Timeout, late: Any, app: Any, scope: Any, receive: Any, send: Any) -> None:
    """``app`` until ``limit``, then ``late``; what has begun to answer is broken off with a TimeoutError."""
    began = False

    async def noted(message: Any) -> None:
        nonlocal began
        began = True
        await send(message)

    try:
        async with limit:
            await app(scope, receive, noted)
    except TimeoutError:
        if began or not limit.expired():  # the application's own is a bug like any other
            raise
        await late(scope, receive, send)


def failure(path: str, status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """``{"error": one line}``; on OpenAI's paths the line stands where OpenAI's clients look for it."""
    line = " ".join(message.split())[:500].encode("utf-8", "replace").decode()
    if path not in OPENAI_PATHS:
        return JSONResponse({"error": line}, status, headers)
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": line, "type": kind, "param": None, "code": str(status)}}, status, headers)


def add_handlers(api: FastAPI) -> None:
    """Every error is one line; a bug's inside stays in the log."""
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(T2SError, _user_error)
    api.add_exception_handler(Exception, _bug)


async def _invalid(request: Request, error: Any) -> JSONResponse:
    """Pydantic's list of problems as one line; the input itself is not echoed."""
    problems = []
    for detail in error.errors():
        # Of several forms that a field may have, pydantic calls each by its validators.
        place = ".".join(str(part) for part in detail["loc"][1:] if "[" not in str(part))
        message = detail["msg"].removeprefix("Value error, ")
        problems.append(f"{place}: {message}" if place else message)
    return failure(request.url.path, 422, "; ".join(problems))


async def _http(request: Request, error: Any) -> JSONResponse:
    return failure(request.url.path, error.status_code, str(error.detail), error.headers)


async def _user_error(request: Request, error: Any) -> JSONResponse:
    return failure(request.url.path, 422, str(getattr(error, "cause", None) or error))


async def _bug(request: Request, error: Any) -> JSONResponse:
    """Ours: the log has the traceback, the caller one line without its inside."""
    log.error("%s %s failed: %s", request.method, request.url.path, json.dumps(str(error)[:2000]))
    return failure(request.url.path, 500, "internal error; the endpoint's log has the details")
