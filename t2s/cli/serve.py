"""``t2s serve``: start the endpoint and stay until Ctrl-C, SIGTERM or ``t2s serve --stop``; or write it to a file."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from t2s.cli.console import same_settings, say, short
from t2s.config import Config
from t2s.errors import ConfigError, RunError, SetupError

SCHEMA = "TABLE: table ( id (real), name (text), salary (real) )"
LOOK_S = 2.0
STOP_GRACE_S = 60.0
"""What Ray may take to end, after the requests under way have ended."""


def serve_verb(config: Config, stop: bool, config_out: Path | None) -> None:
    """What the flags say; without one, :func:`serve_command`."""
    if stop and config_out is not None:
        raise ConfigError("--stop and --config-out do not go together")
    if stop:
        stop_command(config)
    elif config_out is not None:
        config_out_command(config, config_out)
    else:
        serve_command(config)


def serve_command(config: Config) -> None:
    """Serve until a signal. SIGTERM ends in order; so does Ctrl-C, and is raised again as KeyboardInterrupt.

    Raises what :func:`t2s.serve.run.start` raises.
    """
    from t2s.runtime import cluster_address, pin_paths, ray_session
    from t2s.serve.run import check_access, check_adapter, check_databases, check_port, start, stop
    from t2s.track.lock import hold

    config = pin_paths(config)
    check_access(config)
    check_databases(config)
    local = cluster_address(config) is None
    if local:  # a cluster may serve on this port already, to be replaced
        check_port(config.serve.host, config.serve.port)
    check_adapter(config)
    # Ray sets a handler of its own for SIGTERM when it starts, so that ours comes after it.
    with hold(_place(config)) if local else nullcontext(), ray_session(config), _signals() as received:
        print(f"starting {config.model.name} with adapter {config.serve.adapter} …", flush=True)
        try:
            url = start(config)
            print(describe(config, url), flush=True)
            _stay()
        finally:
            print("stopping the endpoint …", flush=True)
            stop(leave_serve=local)
    if signal.SIGINT in received:
        raise KeyboardInterrupt


def stop_command(config: Config) -> None:
    """End the endpoint of the cluster, or the one that a ``t2s serve`` of this machine started; it drains first.

    Raises:
        SetupError: there is none.
        RunError: it does not end.
    """
    from t2s.runtime import cluster_address, pin_paths, ray_session
    from t2s.serve.run import is_deployed, stop

    config = pin_paths(config)
    address = cluster_address(config)
    if address is None:
        _stop_here(config)
        return
    with ray_session(config):
        if not is_deployed():
            raise SetupError(f"no endpoint of t2s is deployed on the Ray at {address}")
        stop()
    say(f"stopped the endpoint on the Ray at {address}")


def config_out_command(config: Config, path: Path) -> None:
    """Write the endpoint as a Serve config file, after the checks that need no Ray."""
    from t2s.runtime import pin_paths
    from t2s.serve.deploy import write_serve_config
    from t2s.serve.run import check_access, check_databases

    config = pin_paths(config)
    check_access(config)
    check_databases(config)
    write_serve_config(config, path)
    say(f"wrote {short(path)}; deploy it, and again after a change: serve deploy {shlex.quote(str(path))}")


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
            f"  stop        Ctrl-C, or {_stop_line(config.serve.port)}",
        ]
    )


def _stop_line(port: int) -> str:
    """The port comes last, so that it wins over one in a file; ``--port`` of this command is none of its settings."""
    words = same_settings()
    known = words.endswith(f"serve.port={port}") or (port == 8000 and "-c" not in sys.argv)
    return " ".join(filter(None, ["t2s serve --stop", words, "" if known else f"serve.port={port}"]))


def _place(config: Config) -> Path:
    """The directory whose lock names the process that serves on this port."""
    path = config.output_dir / ".serve" / str(config.serve.port)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"output_dir={config.output_dir}: {error.strerror}; choose one that can be written") from None
    return path


def _stop_here(config: Config) -> None:
    from t2s.track.lock import holder

    place = config.output_dir / ".serve"
    there = holder(place / str(config.serve.port))
    if there is None:
        others = sorted(path.name for path in place.glob("*") if holder(path))
        hint = f"; there is one on {', '.join(others)}: t2s serve --stop --port {others[0]}" if others else ""
        where = f"below {short(config.output_dir)} (output_dir)"
        raise SetupError(f"no t2s serve runs on port {config.serve.port} {where}{hint or '; give its -c and settings'}")
    if there["host"] != os.uname().nodename:
        raise SetupError(f"t2s serve runs as process {there['pid']} on {there['host']}: stop it there")
    try:
        os.kill(there["pid"], signal.SIGTERM)
    except ProcessLookupError:  # it has just ended by itself, which is what was asked for
        pass
    except PermissionError:
        raise SetupError(f"process {there['pid']} (t2s serve) is another user's: stop it as that user") from None
    end = time.monotonic() + config.serve.drain_timeout_s + STOP_GRACE_S
    while holder(place / str(config.serve.port)) is not None:
        if time.monotonic() > end:
            raise RunError(f"process {there['pid']} (t2s serve) got SIGTERM and does not end; see what it prints")
        time.sleep(0.1)
    say(f"stopped t2s serve on port {config.serve.port} (process {there['pid']})")


def _stay() -> None:
    """Return when somebody else has taken the endpoint down: ``t2s serve --stop``, or Ray's own tools."""
    from t2s.serve.run import is_deployed

    while is_deployed():
        time.sleep(LOOK_S)
    print("the endpoint was stopped from outside", flush=True)


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
