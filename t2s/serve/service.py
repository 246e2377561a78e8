"""What the routes do: find the schema, ask the model, run its SQL, answer. No HTTP server and no Ray in here."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from starlette.exceptions import HTTPException

from t2s.config import Config
from t2s.data.samples import with_samples
from t2s.errors import AdapterError, DataError, T2SError, suggest
from t2s.generate.core import BASE, Generation
from t2s.serve.engine import Question, Written
from t2s.serve.execute import Outcome, parse_only, read_schema, run_sql
from t2s.serve.metrics import Metrics
from t2s.serve.schemas import (
    AdapterInfo,
    Answer,
    Answers,
    Ask,
    ColumnInfo,
    CsvFile,
    DatabaseInfo,
    Databases,
    Failed,
    Readiness,
    TableInfo,
    Timing,
)
from t2s.serve.uploaded import import_csv
from t2s.sql.core import Schema
from t2s.sql.sandbox import Limits, Sandbox
from t2s.sql.schema import parse_schema, render_schema

QUERY_THREADS = 4
DRAIN_STEP_S = 0.05
CUT_S = 2.0
"""What a request that is cut off may take to say so."""
READY_S = 5.0
RETRY_AFTER_S = 2
RETRY = {"Retry-After": str(RETRY_AFTER_S)}


class Model(Protocol):
    """Where questions go: replicas behind Ray Serve, or an engine in this process."""

    async def write(self, question: Question) -> Written:
        """The model's SQL; HTTPException 429 if too many wait, 503 if it is away."""
        ...

    async def readiness(self) -> Readiness:
        """What a question would get now; HTTPException as for :meth:`write`."""
        ...


class Service:
    """The application behind the routes."""

    def __init__(self, config: Config, model: Model, adapter: AdapterInfo) -> None:
        """``adapter`` is what the model was deployed with; answers name what wrote them."""
        self.config, self.adapter = config, adapter
        self.names = (config.serve.adapter, *config.serve.adapters, BASE)
        self.metrics = Metrics()
        self.metrics.serves(adapter, config.model.name)
        self.draining = False
        self._under_way: set[asyncio.Timeout] = set()
        self._model = model
        self._pool = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="t2s-query")
        self._sandbox = Sandbox(Limits(config.serve.timeout_s, config.serve.max_rows), workers=QUERY_THREADS)

    def close(self) -> None:
        """End the sandbox's children."""
        self._sandbox.close()
        self._pool.shutdown(wait=False)

    async def databases(self) -> Databases:
        """The attached databases with their schemas; one whose file went away has no tables, and says why."""
        return Databases(databases=[await self._described(*each) for each in self.config.serve.databases.items()])

    async def answer(self, ask: Ask) -> Answer:
        """One question, from its schema to its rows."""
        started = time.perf_counter()
        if ask.csv is None:
            return await self._answer(ask, self._database(ask) if ask.database is not None else None, started)
        async with self._private(ask.csv) as database:
            return await self._answer(ask, database, started)

    async def _answer(self, ask: Ask, database: Path | None, started: float) -> Answer:
        await self.expect_adapter(ask.adapter)
        schema = await self._schema(ask, database)
        source = database if ask.execute else None
        written = await self.write(Question(ask.question, schema, source, ask.regime, adapter=ask.adapter))
        self.check_adapter(ask.adapter, written.adapter)  # it may have changed meanwhile
        generated = time.perf_counter()
        outcome = await self.outcome(written.generation, source, schema)
        total = time.perf_counter() - started
        self.metrics.answered(outcome.verdict, len(outcome.rows), written.generation.num_tokens)
        timing = Timing(generate=_ms(generated - started), execute=_ms(outcome.elapsed_s), total=_ms(total))
        return Answer(
            sql=written.generation.sql,
            verdict=outcome.verdict,
            detail=outcome.detail,
            columns=list(outcome.columns),
            rows=[list(row) for row in outcome.rows],
            truncated=outcome.truncated,
            schema=None if ask.csv is None else render_schema(schema),
            adapter=written.adapter,
            base=self.config.model.name,
            regime=written.regime,
            timing_ms=timing,
        )

    async def answer_many(self, asks: Sequence[Ask]) -> Answers:
        """Each as if it came alone; but if the model is full or away, the batch is refused as a whole.

        No more at once than the model answers together: a batch alone leaves the places of those who wait.
        """
        most = self.config.serve.max_batch_questions
        if len(asks) > most:
            raise HTTPException(422, f"questions: {len(asks)} in one batch; at most {most} (serve.max_batch_questions)")
        room = asyncio.Semaphore(self.config.serve.at_once)
        tasks = [asyncio.create_task(self._answer_or_why(ask, room)) for ask in asks]
        try:
            return Answers(answers=await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def ready(self) -> Readiness:
        """What a model that answers would answer with; HTTPException 503 if none does soon."""
        try:
            async with asyncio.timeout(READY_S):
                found = await self._model.readiness()
        except TimeoutError:
            raise HTTPException(503, f"the model does not answer within {READY_S:g} s", RETRY) from None
        self._note(found.adapter)
        return found

    async def write(self, question: Question) -> Written:
        """Ask the model, counted while it is at it."""
        with self.metrics.waiting.track_inprogress():
            try:
                written = await self._model.write(question)
            except AdapterError as error:  # the name means nothing any more, or the model cannot leave its adapter out
                raise HTTPException(404, f"adapter: {getattr(error, 'cause', None) or error}") from None
        if question.adapter in (None, self.config.serve.adapter):
            self._note(written.adapter)
        return written

    async def outcome(self, generation: Generation, source: Path | None, schema: Schema) -> Outcome:
        """Judge the SQL, and run it on ``source`` if there is one; what is unfinished is neither parsed nor run."""
        if not generation.finished:
            return Outcome(
                "invalid_sql",
                "the model ran into its limit of tokens (inference.max_new_tokens) before it ended the query",
            )
        if source is None:
            return await self.in_pool(parse_only, generation.sql)
        return await self.in_pool(run_sql, self._sandbox, source, generation.sql, schema)

    async def expect_adapter(self, name: str | None) -> None:
        """404 before the model is asked, if ``name`` means nothing here; what is unknown may be a newer version."""
        if name in (None, self.adapter.version, *self.names):
            return
        ready = await self.ready()
        if name not in [each.version for each in ready.adapters.values()]:
            self.check_adapter(name, ready.adapter)

    def check_adapter(self, name: str | None, adapter: AdapterInfo) -> None:
        """404 if ``name`` is a version and not that of ``adapter``, which answers."""
        if name not in (None, adapter.version, *self.names):
            own = " = ".join(dict.fromkeys([self.adapter.version, self.config.serve.adapter]))
            raise HTTPException(404, f"no adapter {name!r} here; serving: {', '.join([own, *self.names[1:]])}")

    async def in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    @contextmanager
    def counted(self) -> Iterator[asyncio.Timeout]:
        """A request that :meth:`drain` waits for; it has the time limit that drain sets when it waits no longer."""
        limit = asyncio.timeout(None)
        self._under_way.add(limit)
        try:
            yield limit
        finally:
            self._under_way.discard(limit)

    async def drain(self) -> None:
        """Refuse what is new, wait for what is under way up to ``serve.drain_timeout_s``, and end the rest."""
        self.draining = True
        deadline = time.monotonic() + self.config.serve.drain_timeout_s
        while self._under_way and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_STEP_S)
        for limit in [each for each in self._under_way if not each.expired()]:
            limit.reschedule(asyncio.get_running_loop().time())
        while self._under_way and time.monotonic() < deadline + CUT_S:
            await asyncio.sleep(DRAIN_STEP_S)

    def _note(self, adapter: AdapterInfo) -> None:
        if adapter != self.adapter:
            self.adapter = adapter
            self.metrics.serves(adapter, self.config.model.name)

    async def _answer_or_why(self, ask: Ask, room: asyncio.Semaphore) -> Answer | Failed:
        try:
            async with room:
                return await self.answer(ask)
        except T2SError as error:
            return Failed(error=" ".join(str(error).split()), status=422)
        except HTTPException as error:
            if error.status_code in (429, 503):
                raise
            return Failed(error=str(error.detail), status=error.status_code)

    @asynccontextmanager
    async def _private(self, file: CsvFile) -> AsyncIterator[Path]:
        """``file`` as a database that only this user can read, and that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="t2s-csv-"))
        made = self._pool.submit(import_csv, file, folder / "csv.db")
        try:
            await asyncio.wrap_future(made)
            yield folder / "csv.db"
        finally:
            # Called at once, or when the thread is done that still writes for a caller who went away.
            made.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))

    async def _schema(self, ask: Ask, database: Path | None) -> Schema:
        if database is None:
            return await self.in_pool(parse_schema, ask.schema_text)
        try:
            schema = await self.in_pool(read_schema, ask.database, database, ask.table)
            return await self.in_pool(with_samples, schema, database, self.config.prompt.sample_values)
        except DataError as error:
            raise HTTPException(404, str(error)) from None

    def _database(self, ask: Ask) -> Path:
        known = self.config.serve.databases
        if ask.database not in known:
            hint = suggest(str(ask.database), known) or f"; attached: {', '.join(known) or 'none'}"
            raise HTTPException(404, f"no database {ask.database!r}{hint}")
        return known[ask.database]

    async def _described(self, name: str, path: Path) -> DatabaseInfo:
        try:
            schema = await self.in_pool(read_schema, name, path, None)
        except DataError as error:
            return DatabaseInfo(name=name, tables=[], error=" ".join(str(error).split()))
        return DatabaseInfo(name=name, tables=_tables(schema))


def _tables(schema: Schema) -> list[TableInfo]:
    return [
        TableInfo(name=table.name, columns=[ColumnInfo(name=c.name, type=c.type) for c in table.columns])
        for table in schema.tables
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
