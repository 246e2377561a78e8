"""Sinks: where a journal's metrics go besides the file. A sink never blocks a step and never raises into it.

What MLflow did not take is tried again, so that a server that comes back during the run gets it. Not covered: what
still waits at the end, or did not fit the queue, is counted and reported, not kept; ``t2s track replay`` fills it in.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from t2s.errors import SetupError
from t2s.masking import mask, without_password

log = logging.getLogger("t2s.track")

QUEUE_SIZE = 10_000
"""Calls of ``log`` that may wait for MLflow."""
MAX_BATCH = 500
"""Metrics a ``log_batch`` call carries (MLflow's limit is 1,000)."""
LONGEST_PAUSE_S = 30.0
"""Longest pause between two attempts to reach a server that is away; the first is a second, each next one double."""
CLOSE_TIMEOUT_S = 20.0
"""How long :meth:`MlflowSink.close` waits for what is still queued."""


class Sink(Protocol):
    """A listener to metrics."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take finite metrics; return at once."""
        ...

    def close(self) -> str:
        """Send what is left, within a bounded time; return one line on what did not arrive, "" if all did."""
        ...


def short_http_timeouts() -> None:
    """Make MLflow's HTTP client give up early: by default a call blocks 247 s when the server is away.

    It never repeats a request: one that timed out may have made its run already.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


class MlflowSink:
    """Sends metrics to one MLflow run from a background thread with a bounded queue."""

    def __init__(self, uri: str, run_id: str) -> None:
        """``uri`` is the tracking URI, ``run_id`` an existing run; nothing is contacted here."""
        short_http_timeouts()
        self._uri, self._run_id = uri, run_id
        self._queue: queue.Queue[tuple[int, int, dict[str, float]]] = queue.Queue(QUEUE_SIZE)
        self._closing = threading.Event()
        self._sent = self._taken = 0
        self._error = ""
        self._overflowed = False
        self._thread = threading.Thread(target=self._send_all, name="t2s-mlflow-sink", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Queue the metrics of a step; when the queue is full they are dropped and counted."""
        self._taken += len(metrics)
        try:
            self._queue.put_nowait((step, time.time_ns() // 1_000_000, dict(metrics)))
        except queue.Full:
            self._overflowed = True

    def close(self) -> str:
        """Send the rest for at most ``CLOSE_TIMEOUT_S``; return how many metrics did not arrive, the first time."""
        if self._closing.is_set():
            return ""
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if not (dropped := self._taken - self._sent):
            return ""
        full = f"over {QUEUE_SIZE} steps were waiting" if self._overflowed else ""
        why = self._error or full or f"it took longer than {CLOSE_TIMEOUT_S:.0f} s"
        return (
            f"MLflow at {without_password(self._uri)} misses {dropped} of {self._taken} metrics of run {self._run_id} "
            f"({why}); the journal is complete: `t2s track replay RUN_DIR` fills them in"
        )

    def _send_all(self) -> None:
        client: Any = None
        while batch := self._next_batch():
            pause = 1.0
            while True:
                closing = self._closing.is_set()  # before the attempt: the last one comes after the last value
                try:
                    client = client or _client(self._uri)
                    self._send(client, batch)
                    self._error = ""
                    break
                except Exception as error:  # fault boundary: tracking must never end a run
                    self._error = _first_line(error)
                if closing:  # a server that is away costs a timeout a call: once the run is over, nobody waits for that
                    return
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _next_batch(self) -> list[tuple[int, int, dict[str, float]]]:
        """At least one queued item, or [] when closed and empty."""
        while True:
            try:
                batch = [self._queue.get(timeout=0.1)]
                break
            except queue.Empty:
                if self._closing.is_set() and self._queue.empty():
                    return []
        while sum(len(metrics) for _, _, metrics in batch) < MAX_BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _send(self, client: Any, batch: list[tuple[int, int, dict[str, float]]]) -> None:
        """Send the batch and empty it; what was sent before an error is not sent again."""
        from mlflow.entities import Metric

        while batch:
            part: list[list[Any]] = []
            size = 0
            for step, timestamp, values in batch:
                if part and size + len(values) > MAX_BATCH:
                    break
                part.append([Metric(name, value, timestamp, step) for name, value in values.items()])
                size += len(values)
            client.log_batch(self._run_id, metrics=[metric for line in part for metric in line])
            del batch[: len(part)]
            self._sent += size


class WandbSink:
    """Sends metrics to Weights & Biases; wandb has its own background process and offline mode."""

    def __init__(self, project: str, name: str | None = None, directory: Path | None = None) -> None:
        """Start a W&B run; a :class:`SetupError` if the package is missing or nobody is logged in."""
        try:
            import wandb
        except ImportError:
            raise SetupError(
                "training.report_to=wandb needs the wandb package: pip install 't2s[wandb]', or set "
                "training.report_to=mlflow"
            ) from None
        try:
            self._run = wandb.init(project=project, name=name, dir=str(directory) if directory else None)
        except Exception as error:  # wandb raises many kinds: no account, no network, a bad name
            raise SetupError(
                f"W&B did not start: {_first_line(error)}; run `wandb login` or WANDB_MODE=offline"
            ) from None
        self._failed = False

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand the metrics to W&B."""
        try:
            self._run.log(dict(metrics), step=step)
        except Exception as error:  # fault boundary: tracking must never end a run
            if not self._failed:
                log.warning("W&B refused metrics (%s); the journal is complete", _first_line(error))
            self._failed = True

    def close(self) -> str:
        """End the W&B run."""
        try:
            self._run.finish()
        except Exception as error:  # fault boundary: as above
            return f"W&B did not finish: {_first_line(error)}"
        return ""


def build_sink(
    report_to: str,
    uri: str,
    run_id: str | None,
    *,
    wandb_project: str = "t2s",
    name: str | None = None,
    directory: Path | None = None,
) -> Sink | None:
    """The sink for ``training.report_to``, or None for ``none`` and for an MLflow that gave no run id."""
    if report_to == "mlflow" and run_id is not None:
        return MlflowSink(uri, run_id)
    if report_to == "wandb":
        return WandbSink(wandb_project, name, directory)
    return None


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _first_line(error: BaseException) -> str:
    """The first line of what a library says of its failure, which may name an address with a password in it."""
    return mask((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
