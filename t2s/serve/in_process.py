"""The endpoint without Ray Serve: the engine as the service's model, and the routes over HTTP on a thread.

For measurements and tests, which want the same application and nothing around it. Not covered: more than one replica,
and following the registry.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from t2s.serve.engine import Engine, Question, Written
from t2s.serve.schemas import Readiness

STOP_TIMEOUT_S = 10.0


class InProcess:
    """The engine as the service's model."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def write(self, question: Question) -> Written:
        """As the deployment ``SQLModel`` does."""
        return await self.engine.write(question)

    async def readiness(self) -> Readiness:
        """Likewise."""
        return self.engine.readiness()


@contextmanager
def served(api: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port of loopback for the block, and yield its URL."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(api, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STOP_TIMEOUT_S)
