"""Services that a run asks: MLflow, and a Ray that is there already, with its dashboard and token."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from t2s.config import Config
from t2s.doctor.check import TIMEOUT_S, Check, Subject, failed, passed, warned
from t2s.runtime import cluster_address

DASHBOARD = "http://127.0.0.1:8265"


def has_store(config: Config) -> bool:
    """Whether MLflow has anything to say: its own file is made by the first run, and not by a look."""
    return config.tracking.uri is not None or (config.output_dir / "mlflow.db").is_file()


def tracking(subject: Subject) -> Check:
    """MLflow answers."""
    from t2s.track.runs import connect, tracking_uri

    config = subject.config
    if config.training.report_to != "mlflow":
        return passed(f"training.report_to={config.training.report_to}")
    if not has_store(config):
        ignored = os.environ.get("MLFLOW_TRACKING_URI")
        if ignored:
            return warned("MLFLOW_TRACKING_URI has no effect on t2s", "set tracking.uri to it")
        return passed(f"SQLite at {config.output_dir / 'mlflow.db'}, made by the first run")
    uri = tracking_uri(config)
    parsed = urlsplit(uri)
    if parsed.scheme in ("http", "https") and not _listens(parsed.hostname or "", parsed.port or _default(uri)):
        return failed(f"{uri}: nobody listens there", "start MLflow, or set tracking.uri; runs go on without it")
    try:
        connect(config).search_experiments(max_results=1)
    except Exception as error:  # fault boundary: MLflow, SQLAlchemy and HTTP each raise their own
        first = (str(error).splitlines() or [type(error).__name__])[0]
        cure = "see tracking.uri, its user and password (MLFLOW_TRACKING_USERNAME, _PASSWORD); runs go on without it"
        return failed(f"MLflow at {uri} does not answer: {first}", cure)
    return passed(uri)


def ray(subject: Subject) -> Check:
    """The Ray that commands would join, or that a local one can be started; the token where one is needed."""
    address = cluster_address(subject.config)
    problem = _token_problem(bool(address))
    if problem is not None:
        return problem
    if address:
        found = _current() if address == "auto" else address
        if found is None:
            return failed(
                "ray.address=auto, and no Ray runs on this machine", "t2s cluster up, or leave ray.address out"
            )
        host, _, port = found.removeprefix("ray://").rpartition(":")
        if not port.isdigit() or not _listens(host.strip("[]"), int(port)):
            return failed(f"ray.address={address}: nobody listens at {found}", "start that cluster, or name another")
    return _dashboard(address)


def _dashboard(address: str | None) -> Check:
    """The dashboard, which jobs are submitted to: there, and behind the token."""
    url = os.environ.get("RAY_API_SERVER_ADDRESS") or DASHBOARD
    where = f"the Ray at {address}" if address else "a local Ray is started for each command"
    parsed = urlsplit(url)
    if not _listens(parsed.hostname or "", parsed.port or _default(url)):
        if "RAY_API_SERVER_ADDRESS" in os.environ:
            return failed(f"RAY_API_SERVER_ADDRESS={url}: no dashboard answers there", "start the cluster, or unset it")
        return passed(where)
    if status(f"{url}/api/version") == 200:
        text = f"the dashboard at {url} answers without a token: whoever reaches it runs code here"
        return warned(text, "start Ray with RAY_AUTH_MODE=token, as t2s cluster up does")
    token = _token()
    if token is None:
        return warned(f"the dashboard at {url} wants a token, and none is set", "export RAY_AUTH_TOKEN_PATH=FILE")
    if status(f"{url}/api/version", token) != 200:
        return failed(
            f"the dashboard at {url} refuses the token that is set", "export the cluster's RAY_AUTH_TOKEN_PATH"
        )
    return passed(f"{where}; the dashboard at {url} takes the token")


def _token_problem(joins: bool) -> Check | None:
    """What is wrong with the token's variables; a local Ray makes a token of its own."""
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if file and not Path(file).expanduser().is_file():
        return failed(f"RAY_AUTH_TOKEN_PATH={file}: no such file", "point it to the cluster's token, or unset it")
    if joins and os.environ.get("RAY_AUTH_MODE") == "token" and _token() is None:
        return failed(
            "RAY_AUTH_MODE=token, and there is no token", "export RAY_AUTH_TOKEN_PATH=FILE with the cluster's"
        )
    return None


def _token() -> str | None:
    """As Ray looks for it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"]
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return file.read_text("utf-8").strip() or None
    except OSError:
        return None


def _current() -> str | None:
    """The Ray that started last on this machine, as Ray itself notes it."""
    file = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    try:
        return file.read_text("utf-8").strip() or None
    except OSError:
        return None


def status(url: str, token: str | None = None) -> int | None:
    """The status of a GET, None if nobody answers in time."""
    import httpx

    headers: dict[str, Any] = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.get(url, headers=headers, timeout=TIMEOUT_S, trust_env=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def _listens(host: str, port: int) -> bool:
    try:
        with closing(socket.create_connection((host, port), TIMEOUT_S)):
            return True
    except OSError:
        return False


def _default(url: str) -> int:
    return 443 if url.startswith("https") else 80
