"""Start and stop the endpoint on a Ray that is already connected."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

from t2s.config import Config
from t2s.errors import DataError, RunError, SetupError
from t2s.sql.database import schema_of_database

APP = "t2s"
GENERATOR = "t2s.serve.engine:load_engine"
READY_TIMEOUT_S = 60.0
EDGE_GRACE_S = 60.0
"""Ray Serve's proxy ends a request this long after our own limits should have: one whose body never comes, too."""
log = logging.getLogger("t2s.serve")


def start(config: Config, generator: str = GENERATOR) -> str:
    """Deploy the endpoint and return its base URL once it answers.

    Ray must be connected and paths absolute (:func:`t2s.runtime.pin_paths`). ``generator`` names the engine
    as ``package.module:function`` with the signature of :func:`t2s.generate.load_generator`. Tokens, databases, the
    port, the adapter and its base are checked before a process starts.

    Raises:
        ConfigError, DataError, AdapterError, SetupError: as above.
        RunError: the model did not start.
    """
    digests = check_access(config)
    check_databases(config)
    if not _serve_is_running():
        check_port(config.serve.host, config.serve.port)
    adapter = check_adapter(config, generator)
    _deploy(config, adapter, generator, digests)
    url = base_url(config)
    _wait_until_ready(url)
    return url


def stop(leave_serve: bool = False) -> None:
    """Take the endpoint down once its requests are answered; Ray Serve itself too, unless it serves something else.

    ``leave_serve`` spares Ray Serve where Ray itself ends next: its own shutdown ends with a false alarm on
    the driver's output (a "failed" task of the controller, which has killed itself).
    """
    from ray import serve

    if not _serve_is_running():
        return
    _drain()
    others = [name for name in serve.status().applications if name != APP]
    if others or leave_serve:
        serve.delete(APP)
    else:
        serve.shutdown()


def is_deployed() -> bool:
    """Whether the connected Ray has the endpoint, whatever its state."""
    from ray import serve

    return APP in serve.status().applications


def http_options(config: Config) -> dict[str, Any]:
    """Of Ray Serve's proxy."""
    settings = config.serve
    limit_s = settings.request_timeout_s + EDGE_GRACE_S
    return {"host": settings.host, "port": settings.port, "request_timeout_s": limit_s}


def _drain() -> None:
    """New requests get 503 while those under way finish. An endpoint that failed has none."""
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    overview = serve.status().applications.get(APP)
    if overview is None or overview.status != "RUNNING":
        return
    try:
        serve.get_app_handle(APP).drain.remote().result()
    except (RayError, RayServeException) as error:
        log.warning("the endpoint stops without waiting for its requests: %s", " ".join(str(error).split())[:200])


def base_url(config: Config) -> str:
    """``http://host:port``; an endpoint on all addresses is called on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.serve.host, config.serve.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{config.serve.port}"


def check_access(config: Config) -> tuple[bytes, ...]:
    """The digests of the tokens; a ConfigError for an address that everybody could ask at."""
    from t2s.serve.access import check_address, load_digests

    digests = load_digests(config.serve)
    check_address(config.serve, digests)
    return digests


def check_databases(config: Config) -> None:
    """Raise a :class:`DataError` naming the first attached database that is no readable SQLite or DuckDB file."""
    for name, path in config.serve.databases.items():
        try:
            schema_of_database(path)
        except DataError as error:
            raise DataError(f"serve.databases.{name}: {error}") from None


def check_port(host: str, port: int, setting: str = "serve.port") -> None:
    """Raise a :class:`SetupError` if nothing can listen on ``host:port``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"{setting}={port}: cannot listen on {host}:{port}: {error.strerror}"
            raise SetupError(f"{why}; free it or choose another, for example {setting}={port + 1}") from None


def check_adapter(config: Config, generator: str = GENERATOR) -> Any:
    """Resolve ``serve.adapter``, compare it and ``serve.adapters`` with the base; return the ``AdapterInfo`` to deploy.

    The name is resolved once: every replica loads this version, wherever the alias goes meanwhile.
    """
    from t2s.model.adapter import check_fits, read_manifest
    from t2s.model.base import find_base
    from t2s.registry import resolve_adapter
    from t2s.serve.beside import check_beside
    from t2s.serve.schemas import AdapterInfo

    resolved = resolve_adapter(config, config.serve.adapter)
    if generator == GENERATOR:
        files = find_base(config.model)
        if resolved.path is not None:
            check_fits(read_manifest(resolved.path), resolved.path, files, config.prompt)
        check_beside(config, resolved, files)
    return AdapterInfo(version=resolved.version, run_id=resolved.run_id)


def _serve_is_running() -> bool:
    from ray import serve

    return bool(serve.status().proxies)


def _deploy(config: Config, adapter: Any, generator: str, digests: tuple[bytes, ...]) -> None:
    from ray import serve

    from t2s.runtime import uses_gpu
    from t2s.serve.app import build_app

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    application = build_app(config, adapter, generator, 1 if uses_gpu(config) else 0, digests)
    serve.start(proxy_location="HeadOnly", http_options=http_options(config))
    try:
        serve.run(application, name=APP, route_prefix="/")
    except RuntimeError as error:
        cause = _cause(_messages() or str(error))
        stop()
        raise RunError(f"the endpoint did not start: {cause}") from None


def _wait_until_ready(url: str) -> None:
    import httpx

    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise RunError(f"{url}/healthz does not answer; if Ray Serve ran before on another port: serve shutdown")


def _messages() -> str:
    """What Ray Serve says of the deployments that failed; the exception itself only names them."""
    from ray import serve

    overview = serve.status().applications.get(APP)
    return "\n".join(each.message for each in overview.deployments.values()) if overview else ""


def _cause(message: str) -> str:
    """The line of a deployment's message that says what went wrong: the last one of a traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line.split(":", 1)[0]]
    return (errors or lines or ["unknown"])[-1][:500]
