"""Two deployments: ``SQLModel`` writes SQL in batches, ``Api`` is the HTTP edge and runs it in the sandbox.

Nothing that blocks runs on an event loop: generation has its own thread, schemas and queries a small pool.
Not covered: swapping the adapter in place; another adapter is another deployment of the application.
"""

# Ray pickles the routes of `Api` by value, with the names that exist when the class is read: what they use
# stands above them, and there is no `from __future__ import annotations`, whose texts FastAPI could not look up.

import asyncio
import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from ray import serve
from ray.serve.exceptions import BackPressureError
from starlette.exceptions import HTTPException

import t2s
from t2s.config import Config
from t2s.data.samples import with_samples
from t2s.errors import ConfigError, DataError, T2SError, suggest
from t2s.generate.core import Generation, Request
from t2s.registry import resolve_adapter
from t2s.runtime import HEAD_SHARE
from t2s.serve import http
from t2s.serve.execute import Outcome, parse_only, read_schema, run_sql
from t2s.serve.schemas import (
    AdapterInfo,
    Answer,
    Ask,
    ColumnInfo,
    DatabaseInfo,
    Databases,
    Failure,
    Health,
    TableInfo,
    Timing,
)
from t2s.sql.core import Schema
from t2s.sql.sandbox import Limits, Sandbox
from t2s.sql.schema import parse_schema

QUERY_THREADS = 4
api = http.build_api(t2s.__version__)


@dataclass(frozen=True, slots=True)
class Written:
    """A generation, and the adapter of the replica that wrote it."""

    generation: Generation
    adapter: AdapterInfo


def import_factory(path: str) -> Callable[[Config, Path | None], Any]:
    """The function behind ``package.module:function``, an engine's ``load_generator``; else a ConfigError."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"generator {path!r}: expected package.module:function ({error})") from None


def _tables(schema: Schema) -> list[TableInfo]:
    return [
        TableInfo(name=table.name, columns=[ColumnInfo(name=c.name, type=c.type) for c in table.columns])
        for table in schema.tables
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


@serve.deployment
class SQLModel:
    """One copy of the model. Questions that arrive together are generated together."""

    def __init__(self, config: Config, adapter: str, generator: str) -> None:
        """``adapter`` is a resolved name: each replica fetches its own copy, also on another machine."""
        resolved = resolve_adapter(config, adapter)
        self._generator = import_factory(generator)(config, resolved.path)
        self._adapter = AdapterInfo(version=resolved.version, run_id=resolved.run_id)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="t2s-generate")

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take batch settings; a changed ``user_config`` needs no restart."""
        batch: Any = self._batch  # what @serve.batch adds is not in its type
        batch.set_max_batch_size(user_config["max_batch_size"])
        batch.set_batch_wait_timeout_s(user_config["batch_wait_timeout_s"])

    async def write(self, question: str, schema: Schema) -> Written:
        """The model's SQL; raises the :class:`T2SError` that this question alone caused."""
        result = await self._batch(Request(question, schema))
        if isinstance(result, T2SError):
            raise result
        return Written(result, self._adapter)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.02)
    async def _batch(self, requests: list[Request]) -> list[Generation | T2SError]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._generate, requests)

    def _generate(self, requests: list[Request]) -> list[Generation | T2SError]:
        try:
            return list(self._generator.generate(requests))
        except T2SError as error:
            # One impossible question must not fail its neighbours in the batch: then each goes alone.
            return [error] if len(requests) == 1 else [self._generate([each])[0] for each in requests]


@serve.deployment
@serve.ingress(api)
class Api:
    """The HTTP edge: checks, asks the model, runs its SQL, answers."""

    def __init__(self, model: Any, config: Config, adapter: AdapterInfo) -> None:
        """``adapter`` is what the model was deployed with; answers name what the replica says."""
        self._model, self._config, self._adapter = model, config, adapter
        self._pool = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="t2s-query")
        limits = Limits(timeout_s=config.serve.timeout_s, max_rows=config.serve.max_rows)
        self._sandbox = Sandbox(limits, workers=QUERY_THREADS)

    @api.get("/", include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """The playground."""
        return http.playground()

    @api.get("/healthz")
    async def health(self) -> Health:
        """Whether the endpoint is up, and with which adapter."""
        return Health(adapter=self._adapter, base=self._config.model.name)

    @api.get("/v1/databases")
    async def databases(self) -> Databases:
        """The attached databases with their schemas."""
        listed = [(n, await self._in_pool(read_schema, n, p, None)) for n, p in self._config.serve.databases.items()]
        return Databases(databases=[DatabaseInfo(name=n, tables=_tables(schema)) for n, schema in listed])

    @api.post("/v1/sql", responses={code: {"model": Failure} for code in (404, 413, 422, 429)})
    async def sql(self, ask: Ask) -> Answer:
        """Write SQL for a question, and run it if there is a database to run it on."""
        started = time.perf_counter()
        schema = await self._schema(ask)
        written = await self._write(ask.question, schema)
        generated = time.perf_counter()
        outcome = await self._outcome(ask, schema, written.generation)
        ended = time.perf_counter()
        timing = Timing(generate=_ms(generated - started), execute=_ms(outcome.elapsed_s), total=_ms(ended - started))
        return Answer(
            sql=written.generation.sql,
            verdict=outcome.verdict,
            detail=outcome.detail,
            columns=list(outcome.columns),
            rows=[list(row) for row in outcome.rows],
            truncated=outcome.truncated,
            adapter=written.adapter,
            base=self._config.model.name,
            timing_ms=timing,
        )

    async def _write(self, question: str, schema: Schema) -> Written:
        try:
            return await self._model.write.remote(question, schema)
        except BackPressureError:
            headers = {"Retry-After": str(http.RETRY_AFTER_S)}
            raise HTTPException(429, "too many questions are waiting; try again soon", headers) from None

    async def _schema(self, ask: Ask) -> Schema:
        if ask.schema_text is not None:
            return await self._in_pool(parse_schema, ask.schema_text)
        try:
            database = self._database(ask)
            schema = await self._in_pool(read_schema, ask.database, database, ask.table)
            return await self._in_pool(with_samples, schema, database, self._config.prompt.sample_values)
        except DataError as error:
            raise HTTPException(404, str(error)) from None

    def _database(self, ask: Ask) -> Path:
        known = self._config.serve.databases
        if ask.database not in known:
            hint = suggest(str(ask.database), known) or f"; attached: {', '.join(known) or 'none'}"
            raise HTTPException(404, f"no database {ask.database!r}{hint}")
        return known[ask.database]

    async def _outcome(self, ask: Ask, schema: Schema, generation: Generation) -> Outcome:
        if not generation.finished:
            return Outcome("invalid_sql", "the model ran into inference.max_new_tokens before it ended the query")
        if ask.database is None or not ask.execute:
            return await self._in_pool(parse_only, generation.sql)
        return await self._in_pool(run_sql, self._sandbox, self._database(ask), generation.sql, schema)

    async def _in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


def build_app(config: Config, adapter: AdapterInfo, generator: str, num_gpus: float) -> Any:
    """The application for ``serve.run``. With ``serve.max_queued_requests`` waiting, the next gets 429."""
    deployments: dict[str, Any] = {"model": SQLModel, "api": Api}  # their type hides the decorator
    settings = config.serve
    queue = settings.max_queued_requests
    in_flight = 2 * settings.max_batch_size  # one batch is generated while the next one gathers
    model = (
        deployments["model"]
        .options(
            num_replicas=settings.num_replicas,
            max_ongoing_requests=in_flight,
            max_queued_requests=queue,
            max_constructor_retry_count=2,
            ray_actor_options={"num_cpus": config.ray.worker_cpus, "num_gpus": num_gpus},
            user_config={
                "max_batch_size": settings.max_batch_size,
                "batch_wait_timeout_s": settings.batch_wait_timeout_s,
            },
        )
        .bind(config, adapter.version, generator)
    )
    return (
        deployments["api"]
        .options(
            # Room for every question that may wait at the model, and for health checks beside them.
            max_ongoing_requests=10_000 if queue < 0 else queue + in_flight * settings.num_replicas + 64,
            max_queued_requests=64,
            backpressure_config={"status_code": 429, "retry_after_s": http.RETRY_AFTER_S},
            ray_actor_options={
                "num_cpus": 0,
                "resources": HEAD_SHARE,
            },  # the database files are on this machine
        )
        .bind(model, config, adapter)
    )
