"""``t2s ui``: MLflow's own pages over the runs of this configuration."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import psutil

from t2s.config import Config
from t2s.errors import RunError
from t2s.masking import without_password

HOST = "127.0.0.1"
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without the processes that score traces on a schedule: t2s has none."""
STOP_TIMEOUT_S = 5.0


def ui_command(config: Config, port: int = 5000) -> None:
    """Run ``mlflow ui`` on loopback until Ctrl-C; a tracking server's own address is only printed.

    Raises:
        SetupError: the port is in use.
        RunError: MLflow ended by itself.
    """
    from t2s.serve.run import check_port
    from t2s.track.runs import tracking_uri

    uri = tracking_uri(config)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow runs at {without_password(uri)}")
        return
    check_port(HOST, port, "--port")
    print(f"MLflow over {without_password(uri)}: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    # In the environment: everybody on the machine may read a command's arguments.
    stores = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_REGISTRY_STORE_URI": uri}
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]
    raise RunError(f"mlflow ui ended by itself with exit code {_run(command, stores)}; its messages are above")


def _run(command: Sequence[str], stores: Mapping[str, str]) -> int:
    """Run until it ends by itself; Ctrl-C and SIGTERM end it with all that it started, and are KeyboardInterrupt."""
    environment = {**os.environ, **NO_JOBS, **stores}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # In a session of its own: a terminal's Ctrl-C reaches us alone, and the whole of it is ended below.
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return server.wait()
    finally:
        _end(server)
        signal.signal(signal.SIGTERM, before)


def _end(server: subprocess.Popen[bytes]) -> None:
    """MLflow is a parent of servers that outlive it if it alone is ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(server.pid)
        below = tree.children(recursive=True)
        for process in (tree, *below):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs((tree, *below), timeout=STOP_TIMEOUT_S)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    server.wait()
