"""What others can reach: the endpoint's port and token, services that listen to the world, files with secrets.

Not covered: firewalls and networks outside; services on other ports than those of t2s, Ray's dashboard and MLflow.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from t2s.cluster.nodes import RESERVED
from t2s.config import Config
from t2s.doctor.check import Check, Subject, failed, passed, warned
from t2s.doctor.services import DASHBOARD, status
from t2s.masking import MASK, mask_settings, tells_secret
from t2s.serve.access import TOKEN_VARIABLE, check_address, is_loopback, load_digests

MLFLOW_PORT = 5000


def ports(subject: Subject) -> Check:
    """The endpoint can listen, and will not meet a worker of Ray's on its port."""
    from t2s.serve.run import check_port

    serve = subject.config.serve
    if serve.port in RESERVED:
        found = f"serve.port={serve.port} is among {RESERVED.start}-{RESERVED.stop - 1}, which Ray gives to its workers"
        return warned(found, "set serve.port to one outside, for example 8000")
    check_port(serve.host, serve.port)
    dashboard = urlsplit(DASHBOARD)
    if serve.port == dashboard.port:
        return warned(f"serve.port={serve.port} is the port of Ray's dashboard", "set serve.port to another")
    return passed(f"{serve.host}:{serve.port} is free")


def access(subject: Subject) -> Check:
    """Nobody without a token reaches the endpoint from outside."""
    serve = subject.config.serve
    digests = load_digests(serve)
    check_address(serve, digests)
    if not digests and not is_loopback(serve.host):
        return warned(f"serve.host={serve.host} without a token, as serve.allow_public says", "set serve.token_file")
    who = f"{len(digests)} token(s)" if digests else "without a token, from this machine only"
    return passed(f"{serve.host}: {who}")


def exposed(subject: Subject) -> Check:
    """No service of this machine answers the world without asking who it is."""
    import psutil

    try:
        listening = [each.laddr for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:
        return warned("this system does not say who listens", "run it as an administrator")
    services = _services(subject.config)
    public = {(address.port, _host(address.ip)) for address in listening if address.port in services}
    public = {(port, host) for port, host in public if host is not None}
    for port, host in sorted(public):
        name, path = services[port]
        if status(f"http://{host}:{port}{path}") == 200:
            cure = "let it listen on 127.0.0.1, or give it a token or a password"
            return failed(f"{name} on port {port} answers everybody who reaches this machine", cure)
    count = len({port for port, _ in public})
    return passed(f"{count} services listen to others, and none answers without asking who" if count else "nothing")


def _host(ip: str) -> str | None:
    """Where to ask what listens on ``ip``; None for what only this machine reaches."""
    plain = ip.removeprefix("::ffff:")
    if is_loopback(plain):
        return None
    every = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return every.get(plain) or (f"[{plain}]" if ":" in plain else plain)


def _services(config: Config) -> dict[int, tuple[str, str]]:
    """Port → (name, a path that gives something away)."""
    mlflow = ("MLflow", "/api/2.0/mlflow/experiments/search?max_results=1")
    found = {
        config.serve.port: ("the endpoint", "/v1/databases"),
        urlsplit(os.environ.get("RAY_API_SERVER_ADDRESS") or DASHBOARD).port or 8265: (
            "Ray's dashboard",
            "/api/version",
        ),
        MLFLOW_PORT: mlflow,
    }
    own = urlsplit(config.tracking.uri or "")
    if own.scheme == "http" and own.hostname and is_loopback(own.hostname) and own.port:
        found[own.port] = mlflow
    return found


def secrets(subject: Subject) -> Check:
    """Files with tokens are their owner's alone, and no password stands in the settings."""
    config = subject.config
    named = {
        "serve.token_file": config.serve.token_file,
        "RAY_AUTH_TOKEN_PATH": os.environ.get("RAY_AUTH_TOKEN_PATH"),
        "Ray's token": "~/.ray/auth_token",
    }
    for name, path in named.items():
        file = Path(path).expanduser() if path else None
        if file and file.is_file() and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            return warned(f"{name}: others on this machine may read {file}", f"chmod 600 {file}")
    if config.tracking.uri and tells_secret(config.tracking.uri):
        cure = "leave it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or PGPASSWORD)"
        return warned("tracking.uri holds a password: whoever sees the command or the file has it", cure)
    if MASK in str(mask_settings(config.data.options)):
        cure = "let the pipeline read it from the environment"
        return warned("data.options holds a secret: whoever sees the command or the file has it", cure)
    where = "serve.token_file" if config.serve.token_file else TOKEN_VARIABLE
    return passed(f"tokens from {where}, no passwords in the settings")
