"""The endpoint on a real Ray Serve for the faults of serving, and what is asked of it meanwhile."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from chaos_rig import MARK, _line, _marked
from ray import serve
from timed_engine import TAKES

from t2s.cluster.nodes import free_port
from t2s.config import Config, load
from t2s.runtime import ray_session
from t2s.serve import start, stop

SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"
APP = "t2s"


class Site:
    """One Ray for the tests of a file; each deploys its own endpoint on it."""

    def __init__(self, mark: str, port: int, folder: Path) -> None:
        self.mark, self.folder = mark, folder
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def config(self, *settings: str) -> Config:
        own = [f"serve.port={self._port}", "serve.adapter=none", f"output_dir={self.folder}", "model.name=timed"]
        return load([], [*own, *settings])

    @contextmanager
    def deployed(self, config: Config) -> Iterator[str]:
        """The address of an endpoint that has answered."""
        try:
            url = start(config, "timed_engine:load_generator")
            assert self.post("first").status_code == 200
            yield url
        finally:
            stop()

    def post(self, question: str, path: str = "/v1/sql", timeout_s: float = 60) -> httpx.Response:
        body = {"question": question, "schema": SCHEMA}
        return httpx.post(f"{self.url}{path}", json=body, timeout=timeout_s, trust_env=False)

    def processes(self, kind: str) -> list[psutil.Process]:
        """Of this Ray; ``kind`` is a part of how Ray names a process."""
        return [process for process in _marked(self.mark) if kind in " ".join(_line(process))]

    def models(self) -> set[int]:
        return {process.pid for process in self.processes("ServeReplica:t2s:SQLModel")}

    def memory_mb(self) -> float:
        """Resident, of all that a request passes through."""
        found = [*self.processes("ServeReplica"), *self.processes("ProxyActor")]
        return sum(process.memory_info().rss for process in found) / 2**20

    def waiting(self) -> int:
        """Questions at the model, as the endpoint counts them."""
        text = httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False).text
        (line,) = [line for line in text.splitlines() if line.startswith("t2s_questions_waiting ")]
        return int(float(line.split()[1]))


@contextmanager
def made_site(folder: Path, takes_s: float) -> Iterator[Site]:
    mark, port = secrets.token_hex(8), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where Ray's processes find the engine
        patch.setenv(MARK, mark)
        patch.setenv(TAKES, str(takes_s))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("T2S_SERVE_TOKEN", raising=False)
        with ray_session(load([], ["ray.num_cpus=4", f"output_dir={folder}"])):
            yield Site(mark, port, folder)


def running_replicas() -> int:
    found = serve.status().applications[APP].deployments["SQLModel"].replica_states
    return int(found.get("RUNNING", 0))


class Stream:
    """Calls ``ask`` at a rate from threads, until the block ends; an exception is an answer of its own."""

    def __init__(self, ask: Callable[[], Any], per_s: float, threads: int = 64) -> None:
        self._ask, self._per_s = ask, per_s
        self._pool = ThreadPoolExecutor(threads)
        self._over = threading.Event()
        self._futures: list[Future[Any]] = []
        self._pacer = threading.Thread(target=self._pace)

    def __enter__(self) -> Stream:
        self._pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pacer.join()
        self._pool.shutdown(wait=True)

    @property
    def answers(self) -> list[Any]:
        return [each.exception() or each.result() for each in self._futures]

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._futures.append(self._pool.submit(self._ask))
            due += 1 / self._per_s


def wait_until(what: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until ``what`` holds."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.1)
    return time.monotonic() - began
