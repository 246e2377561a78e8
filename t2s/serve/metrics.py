"""What Prometheus reads at ``/metrics``, counted at the HTTP edge."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from t2s.serve.schemas import AdapterInfo

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        """All at zero."""
        registry = self.registry = CollectorRegistry()
        labels = ["route", "status"]
        self.requests = Counter("t2s_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram(
            "t2s_request_seconds", "From request to answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.tokens = Counter("t2s_generated_tokens", "Tokens that the model wrote.", registry=registry)
        self.waiting = Gauge(
            "t2s_questions_waiting", "Questions at the model: in a batch or before it.", registry=registry
        )
        self.verdicts = Counter("t2s_verdicts", "What became of the SQL.", ["verdict"], registry=registry)
        self.parse_failures = Counter("t2s_parse_failures", "Answers that are no SQL.", registry=registry)
        self.empty = Counter("t2s_empty_results", "Queries that ran and gave no row.", registry=registry)
        self.adapter = Info("t2s_adapter", "The adapter that answers.", registry=registry)

    def answered(self, verdict: str, num_rows: int, num_tokens: int) -> None:
        """Count one question's answer."""
        self.tokens.inc(num_tokens)
        self.verdicts.labels(verdict).inc()
        if verdict == "invalid_sql":
            self.parse_failures.inc()
        if verdict == "ok" and not num_rows:
            self.empty.inc()

    def serves(self, adapter: AdapterInfo, base: str) -> None:
        """Name the adapter."""
        self.adapter.info({"version": adapter.version, "run_id": adapter.run_id or "", "base": base})

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)


class Observe:
    """ASGI middleware: counts each answer by route and status. It stands outermost, to see refusals too."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        """``metrics`` is what is counted into."""
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, and count."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), "gone"  # no answer began: the caller went away

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:  # a bug: the handler outside of all middleware answers it
            status = "500"
            raise
        finally:
            # The route's pattern, not the path: strangers must not make labels.
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)
