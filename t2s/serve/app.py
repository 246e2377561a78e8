"""Two deployments: ``SQLModel`` writes SQL in batches, ``Api`` is the HTTP edge and runs it in the sandbox.

Nothing that blocks runs on an event loop: generation has its own thread, schemas and queries a small pool. Who stops
waiting (a client that is gone, a time limit) is cancelled through Ray Serve down to the decoder. Both take a changed
``user_config`` in place; what Ray Serve is told is in :mod:`t2s.serve.options`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray import serve

from t2s.config import Config
from t2s.registry import resolve_adapter
from t2s.serve.access import Digest
from t2s.serve.engine import Engine, Question, Written
from t2s.serve.follow import Follower
from t2s.serve.options import ApiSettings, ModelSettings, api_options, model_options
from t2s.serve.replicas import STUCK_GRACE_S, Pulse, Replicas
from t2s.serve.routes import build_api
from t2s.serve.schemas import AdapterInfo, Readiness
from t2s.serve.service import Service


@serve.deployment
class SQLModel:
    """One copy of the model."""

    def __init__(self, config: Config, adapter: str, generator: str) -> None:
        """``adapter`` is a resolved name: each replica fetches its own copy, also on another machine."""
        self._engine = Engine(config, resolve_adapter(config, adapter), generator)
        self._pulse = Pulse(self._engine.batcher.thread, config.serve.request_timeout_s + STUCK_GRACE_S)
        Follower(config, self._engine).start()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take batch settings; the model stays loaded."""
        settings = ModelSettings.model_validate(user_config)
        self._engine.batcher.max_size = settings.max_batch_size
        self._engine.batcher.wait_s = settings.batch_wait_timeout_s

    async def check_health(self) -> None:
        """Raise if the engine is stuck or broken: Ray Serve then starts another copy in place of this one."""
        self._pulse.check()
        self._engine.check_health()

    async def write(self, question: Question) -> Written:
        """The model's SQL; raises the :class:`t2s.errors.T2SError` that this question alone caused."""
        return await self._engine.write(question)

    async def readiness(self) -> Readiness:
        """What answers."""
        return self._engine.readiness()


@serve.deployment
@serve.ingress()
class Api:
    """The HTTP edge: checks, asks the model, runs its SQL, answers."""

    def __init__(self, model: Any, config: Config, adapter: AdapterInfo, digests: Sequence[Digest]) -> None:
        """``adapter`` is what the model was deployed with; ``digests`` are of the tokens."""
        self._replicas = Replicas(model, config.serve.most_under_way)
        self._service = Service(config, self._replicas, adapter)
        self._digests = digests

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Ray Serve once this is constructed."""
        return build_api(self._service, self._digests)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Let more or fewer wait."""
        self._replicas.most = ApiSettings.model_validate(user_config).max_under_way

    async def drain(self) -> None:
        """Refuse what is new and wait for what is under way."""
        await self._service.drain()


def build_app(
    config: Config, adapter: AdapterInfo, generator: str, num_gpus: float, digests: Sequence[Digest] = ()
) -> Any:
    """The application for ``serve.run``."""
    deployments: dict[str, Any] = {"model": SQLModel, "api": Api}  # their type hides the decorator
    model = deployments["model"].options(**model_options(config, num_gpus)).bind(config, adapter.version, generator)
    return deployments["api"].options(**api_options(config)).bind(model, config, adapter, tuple(digests))
