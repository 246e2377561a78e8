"""Questions that arrive together are generated together, on one thread; who goes away frees the place.

One batch is generated while the next one gathers; a model at rest starts at once. A question whose caller is gone
leaves the queue, or its batch between two passes of the decoder. How many may wait is not decided here, but where
requests come in.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from t2s.errors import T2SError
from t2s.generate.core import Generation, Request

Result = Generation | T2SError
Generate = Callable[[Hashable, Sequence[Request]], Sequence[tuple[Result, Any]]]
"""``(key, requests)`` to a result for each and what goes with it; called on the batcher's thread."""


@dataclass(eq=False)
class _Waiting:
    key: Hashable
    request: Request
    answer: asyncio.Future[tuple[Result, Any]]
    gone: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """Calls ``generate`` with up to ``max_size`` requests of one key, the oldest first."""

    def __init__(self, generate: Generate, max_size: int, wait_s: float) -> None:
        """For ``wait_s`` after its answers a batch waits for as many callers as there were."""
        self._generate = generate
        self.max_size, self.wait_s = max_size, wait_s
        self._queue: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._full = asyncio.Event()
        self._wanted, self._answered = 1, 0.0
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="t2s-generate")

    async def ask(self, key: Hashable, request: Request) -> tuple[Result, Any]:
        """The result for one request. Cancelled, it is taken out of the queue or of its batch."""
        one = _Waiting(key, request, asyncio.get_running_loop().create_future())
        one.request = replace(request, should_stop=one.gone.is_set)
        self._queue.append(one)
        if len(self._queue) >= min(self._wanted, self.max_size):
            self._full.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return await one.answer
        finally:
            one.gone.set()

    async def _work(self) -> None:
        while self._queue:
            await self._gather()
            batch = self._take()
            if batch:
                await self._answer(batch)
                self._wanted, self._answered = len(batch) + len(self._queue), time.monotonic()

    async def _gather(self) -> None:
        """Who asks one question after the other comes back soon after the answer, and would just miss this batch."""
        rest_s = self._answered + self.wait_s - time.monotonic()
        if len(self._queue) < min(self._wanted, self.max_size) and rest_s > 0:
            self._full.clear()
            try:
                async with asyncio.timeout(rest_s):
                    await self._full.wait()
            except TimeoutError:
                pass

    def _take(self) -> list[_Waiting]:
        """The oldest requests of the oldest one's key; those whose callers are gone are forgotten."""
        self._queue = [one for one in self._queue if not one.gone.is_set()]
        batch = [one for one in self._queue if one.key == self._queue[0].key][: self.max_size]
        taken = set(map(id, batch))
        self._queue = [one for one in self._queue if id(one) not in taken]
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        requests = [one.request for one in batch]
        try:
            results = await loop.run_in_executor(self.thread, self._generate, batch[0].key, requests)
        except (
            Exception
        ) as error:  # fault boundary: the engine's bug is each caller's error, and the next batch goes on
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, result in zip(batch, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
