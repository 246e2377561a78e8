"""The routes of the application, and what stands before them.

From outside in: counting, the guard (tokens), draining, the limit on bodies, the limit on time, the router.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

import t2s
from t2s.serve import chat, http
from t2s.serve.access import Digest, is_loopback
from t2s.serve.chat import Chat
from t2s.serve.engine import Question
from t2s.serve.guard import OPEN_PATHS, Guard
from t2s.serve.metrics import CONTENT_TYPE, Observe
from t2s.serve.page import playground
from t2s.serve.schemas import (
    MAX_QUESTION_CHARS,
    Answer,
    Answers,
    Ask,
    AskMany,
    Databases,
    Failure,
    Health,
    Readiness,
)
from t2s.serve.service import RETRY, Service
from t2s.sql.schema import parse_schema

FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failure} for code in (400, 401, 403, 404, 408, 413, 422, 429, 503, 504)
}


def build_api(service: Service, digests: Sequence[Digest] = ()) -> FastAPI:
    """The application. No docs page: FastAPI's loads scripts from another host; ``/openapi.json`` is there."""
    middleware = [
        Middleware(Observe, metrics=service.metrics),
        Middleware(Guard, digests=digests, local_only=is_loopback(service.config.serve.host)),
        Middleware(Drain, service=service),
        Middleware(http.LimitBody),
        Middleware(http.LimitTime, seconds=service.config.serve.request_timeout_s),
    ]
    api = FastAPI(
        title="t2s", version=t2s.__version__, docs_url=None, redoc_url=None, middleware=middleware, responses=FAILURES
    )
    http.add_handlers(api)
    _add_questions(api, service)
    _add_chat(api, service)
    _add_operations(api, service)
    return api


class Drain:
    """ASGI middleware: what is under way is known, and what comes while the endpoint stops is answered 503."""

    def __init__(self, app: Any, service: Service) -> None:
        """``service`` says whether it is stopping."""
        self.app, self.service = app, service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, or answer 503."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self.app(scope, receive, send)
        if self.service.draining:
            return await http.failure(scope["path"], 503, "the endpoint is stopping", RETRY)(scope, receive, send)
        late = http.failure(scope["path"], 503, "the endpoint stopped before there was an answer", RETRY)
        with self.service.counted() as limit:
            await http.within(limit, late, self.app, scope, receive, send)


def _add_questions(api: FastAPI, service: Service) -> None:
    @api.get("/v1/databases")
    async def databases() -> Databases:
        """The attached databases with their schemas."""
        return await service.databases()

    @api.post("/v1/sql")
    async def sql(ask: Ask) -> Answer:
        """Write SQL for a question, and run it if there is a database to run it on."""
        return await service.answer(ask)

    @api.post("/v1/sql/batch")
    async def sql_batch(asks: AskMany) -> Answers:
        """Several questions at once; each has its own answer or error."""
        return await service.answer_many(asks.questions)


def _add_chat(api: FastAPI, service: Service) -> None:
    started = int(time.time())

    failures: dict[int | str, dict[str, Any]] = {code: {"model": chat.Failure} for code in FAILURES}

    @api.get("/v1/models", responses=failures)
    async def models() -> dict[str, Any]:
        """What ``model`` may be, in OpenAI's form: of the configured names, those that the model answers to."""
        held = (await service.ready()).adapters
        return chat.models([service.adapter.version, *(name for name in service.names[1:] if name in held)], started)

    @api.post("/v1/chat/completions", responses=failures)
    async def chat_completions(asked: Chat) -> Any:
        """OpenAI's form of a question: the schema in the system message, the SQL as the answer."""
        version = chat.version_of(asked.model)
        await service.expect_adapter(version)
        if len(asked.question) > MAX_QUESTION_CHARS:
            raise HTTPException(422, f"the question is longer than {MAX_QUESTION_CHARS} characters")
        schema = await service.in_pool(parse_schema, asked.schema_text)
        written = await service.write(Question(asked.question, schema, max_tokens=asked.limit, adapter=version))
        service.check_adapter(version, written.adapter)
        written = chat.cut(asked, written)
        outcome = await service.outcome(written.generation, None, schema)
        service.metrics.answered(outcome.verdict, 0, written.generation.num_tokens)
        if asked.stream:
            return StreamingResponse(chat.chunks(asked, written, outcome), media_type="text/event-stream")
        return chat.completion(asked, written, outcome)


def _add_operations(api: FastAPI, service: Service) -> None:
    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        """The playground."""
        return playground()

    @api.get("/healthz")
    async def health() -> Health:
        """Whether the endpoint is up, and with which adapter. Needs no token."""
        return Health(adapter=service.adapter, base=service.config.model.name)

    @api.get("/readyz")
    async def ready() -> Readiness:
        """Whether the model can be asked now."""
        return await service.ready()

    @api.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Prometheus's text format."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
