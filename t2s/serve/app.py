"""Two deployments: ``SQLModel`` writes SQL in batches, ``Api`` is the HTTP edge and runs it in the sandbox.

Nothing that blocks runs on an event loop: generation has its own thread, schemas and queries a small pool. Who stops
waiting (a client that is gone, a time limit) is cancelled through Ray Serve down to the decoder.
Not covered: several adapters at once; one that is not what the alias means is another deployment of the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from starlette.exceptions import HTTPException

from t2s.config import Config
from t2s.registry import resolve_adapter
from t2s.runtime import HEAD_SHARE
from t2s.serve.access import Digest
from t2s.serve.engine import Engine, Question, Written
from t2s.serve.follow import Follower
from t2s.serve.routes import build_api
from t2s.serve.schemas import AdapterInfo, Readiness
from t2s.serve.service import RETRY, RETRY_AFTER_S, Service


@serve.deployment
class SQLModel:
    """One copy of the model."""

    def __init__(self, config: Config, adapter: str, generator: str) -> None:
        """``adapter`` is a resolved name: each replica fetches its own copy, also on another machine."""
        self._engine = Engine(config, resolve_adapter(config, adapter), generator)
        Follower(config, self._engine).start()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take batch settings; a changed ``user_config`` needs no restart."""
        self._engine.batcher.max_size = user_config["max_batch_size"]
        self._engine.batcher.wait_s = user_config["batch_wait_timeout_s"]

    async def write(self, question: Question) -> Written:
        """The model's SQL; raises the :class:`t2s.errors.T2SError` that this question alone caused."""
        return await self._engine.write(question)

    async def readiness(self) -> Readiness:
        """What answers."""
        return self._engine.readiness()


class Replicas:
    """The :class:`t2s.serve.service.Model` behind Ray Serve's handle."""

    def __init__(self, handle: Any) -> None:
        """``handle`` is of :class:`SQLModel`."""
        self._handle = handle

    async def write(self, question: Question) -> Written:
        """As :meth:`SQLModel.write`; 429 if the queue is full, 503 if the replica went away."""
        return await _answer(self._handle.write.remote(question))

    async def readiness(self) -> Readiness:
        """As :meth:`SQLModel.readiness`."""
        return await _answer(self._handle.readiness.remote())


async def _answer(response: Any) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()  # Ray Serve does this for a client that is gone, not for our own time limit
        raise
    except BackPressureError:
        raise HTTPException(429, "too many questions are waiting; try again soon", RETRY) from None
    except RayActorError:
        raise HTTPException(503, "the model's process went away; try again soon", RETRY) from None


@serve.deployment
@serve.ingress()
class Api:
    """The HTTP edge: checks, asks the model, runs its SQL, answers."""

    def __init__(self, model: Any, config: Config, adapter: AdapterInfo, digests: Sequence[Digest]) -> None:
        """``adapter`` is what the model was deployed with; ``digests`` are of the tokens."""
        self._service = Service(config, Replicas(model), adapter)
        self._digests = digests

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Ray Serve once this is constructed."""
        return build_api(self._service, self._digests)

    async def drain(self) -> None:
        """Refuse what is new and wait for what is under way."""
        await self._service.drain()


def build_app(
    config: Config, adapter: AdapterInfo, generator: str, num_gpus: float, digests: Sequence[Digest] = ()
) -> Any:
    """The application for ``serve.run``. With ``serve.max_queued_requests`` waiting, the next gets 429."""
    deployments: dict[str, Any] = {"model": SQLModel, "api": Api}  # their type hides the decorator
    settings = config.serve
    queue = settings.max_queued_requests
    model = (
        deployments["model"]
        .options(
            num_replicas=settings.num_replicas,
            max_ongoing_requests=settings.in_hand // settings.num_replicas,
            max_queued_requests=queue,
            max_constructor_retry_count=2,
            graceful_shutdown_timeout_s=settings.drain_timeout_s,
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
            max_ongoing_requests=10_000 if queue < 0 else queue + settings.in_hand + 64,
            max_queued_requests=64,
            backpressure_config={"status_code": 429, "retry_after_s": RETRY_AFTER_S},
            graceful_shutdown_timeout_s=settings.drain_timeout_s,
            ray_actor_options={
                "num_cpus": 0,
                "resources": HEAD_SHARE,
            },  # the database files are on this machine
        )
        .bind(model, config, adapter, tuple(digests))
    )
