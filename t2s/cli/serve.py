"""``t2s serve``: start the endpoint and stay until Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from t2s.config import Config

SCHEMA = "TABLE: table ( id (real), name (text), salary (real) )"


def serve_command(config: Config) -> None:
    """Serve until a signal. SIGTERM ends in order; so does Ctrl-C, and is raised again as KeyboardInterrupt.

    Raises what :func:`t2s.serve.run.start` raises.
    """
    from t2s.runtime import pin_paths, ray_session
    from t2s.serve.run import check_access, check_adapter, check_databases, check_port, start, stop

    config = pin_paths(config)
    check_access(config)
    check_databases(config)
    local = not (config.ray.address or os.environ.get("RAY_ADDRESS"))
    if local:  # a cluster may serve on this port already, to be replaced
        check_port(config.serve.host, config.serve.port)
    check_adapter(config)
    with ray_session(config), _signals() as received:
        print(f"starting {config.model.name} with adapter {config.serve.adapter} …", flush=True)
        try:
            url = start(config)
            print(describe(config, url), flush=True)
            while True:
                time.sleep(3600)
        finally:
            print("stopping the endpoint …", flush=True)
            stop(leave_serve=local)
    if signal.SIGINT in received:
        raise KeyboardInterrupt


def describe(config: Config, url: str) -> str:
    """What to do with a running endpoint, ready to paste."""
    name = next(iter(config.serve.databases), None)
    asked = {"database": name} if name else {"schema": SCHEMA}
    body = json.dumps({"question": "What is the highest salary?"} | asked)
    return "\n".join(
        [
            f"serving {config.model.name} with adapter {config.serve.adapter} at {url}",
            f"  playground  {url}/",
            f"  ask         curl -s {url}/v1/sql -H 'Content-Type: application/json' -d {shlex.quote(body)}",
            "  stop        Ctrl-C",
        ]
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; each interrupts what runs, so that the endpoint goes down in order."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
