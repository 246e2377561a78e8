"""The copies of the model as the HTTP edge sees them: how many may wait there, and what it says when they fail.

What waits is counted here and not left to Ray Serve's own queue, which knows how many wait for a place at a copy but
not how many wait inside of it: how long an answer takes is bounded by both together.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, Future
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from starlette.exceptions import HTTPException

from t2s.errors import RunError
from t2s.serve.engine import Question, Written
from t2s.serve.schemas import Readiness
from t2s.serve.service import RETRY

STUCK_GRACE_S = 10.0
"""A batch whose callers have all been given up ends between two passes of the decoder, so within this time."""


class Replicas:
    """The :class:`t2s.serve.service.Model` behind Ray Serve's handle."""

    def __init__(self, handle: Any, most: int | None = None) -> None:
        """``handle`` is of the deployment of the model; with ``most`` questions there the next one is refused."""
        self._handle = handle
        self.most = most
        self._under_way = 0

    async def write(self, question: Question) -> Written:
        """As the engine's; 429 if too many wait, 503 if the replica went away."""
        if self.most is not None and self._under_way >= self.most:
            raise _full()
        self._under_way += 1
        try:
            return await _answer(self._handle.write.remote(question))
        finally:
            self._under_way -= 1

    async def readiness(self) -> Readiness:
        """As the engine's."""
        return await _answer(self._handle.readiness.remote())


class Pulse:
    """Tells a thread that computes for long from one that is stuck: something small is put behind what it does."""

    def __init__(self, thread: Executor, limit_s: float) -> None:
        """``limit_s`` is the longest that ``thread`` may be at one thing."""
        self._thread, self._limit_s = thread, limit_s
        self._beat: Future[None] | None = None
        self._since = 0.0

    def check(self) -> None:
        """Call it every now and then; a :class:`RunError` says that the thread is stuck."""
        if self._beat is None or self._beat.done():
            self._since, self._beat = time.monotonic(), self._thread.submit(_beat)
        elif time.monotonic() - self._since > self._limit_s:
            raise RunError(f"the thread that generates has been at one batch for more than {self._limit_s:g} s")


def _beat() -> None:
    pass


async def _answer(response: Any) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()  # Ray Serve does this for a client that is gone, not for our own time limit
        raise
    except BackPressureError:
        raise _full() from None
    except (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError):
        raise HTTPException(503, "the model's process went away; try again soon", RETRY) from None


def _full() -> HTTPException:
    return HTTPException(429, "too many questions are waiting; try again soon", RETRY)
