"""``t2s ui``: MLflow's own pages over the runs of this configuration."""

from __future__ import annotations

import os
import subprocess
import sys

from t2s.config import Config
from t2s.errors import RunError
from t2s.masking import without_password

HOST = "127.0.0.1"


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
    with subprocess.Popen(command, env={**os.environ, **stores}) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            raise
    raise RunError(f"mlflow ui ended by itself with exit code {code}; its messages are above")
