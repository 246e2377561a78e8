"""The files that every run leaves: ``config.yaml``, ``env.json``, ``code.diff``, ``tracking.json``.

``env.json`` holds versions and hardware, never the environment variables: those may carry secrets.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from t2s.config import Config, dump
from t2s.errors import ConfigError
from t2s.masking import mask, mask_settings, without_password
from t2s.track.lock import refuse_if_held

PACKAGES = (
    "t2s", "torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "ray", "optuna", "mlflow",
    "sqlglot", "llguidance", "pydantic",
)  # fmt: skip


def new_run_dir(output_dir: Path, kind: str, name: str | None = None) -> Path:
    """Make ``output_dir/name``, or ``output_dir/<kind>-<date>-<time>-<4 hex>``, and return it.

    Raises:
        ConfigError: the named directory holds something, or the place cannot be written.
    """
    refuse_taken(output_dir, name)
    path = output_dir / (name or f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
    try:
        path.mkdir(parents=True, exist_ok=name is not None)
    except OSError as error:
        raise ConfigError(f"{path}: cannot make a run directory: {error.strerror}; set output_dir") from None
    return path


def refuse_taken(output_dir: Path, name: str | None) -> None:
    """Raise a :class:`ConfigError` if ``name`` is no name, or its directory holds a run; names who works on it."""
    if name is None:
        return
    path = output_dir / check_name(name)
    try:
        is_taken = path.is_dir() and any(path.iterdir())
    except OSError as error:
        raise ConfigError(f"{path}: cannot make a run directory: {error.strerror}; set output_dir") from None
    if is_taken:
        refuse_if_held(path)
        raise ConfigError(f"{path} holds another run and is never overwritten: choose another name")


def check_name(name: str) -> str:
    """``name`` if it can be that of a run's directory; a :class:`ConfigError` if it would lead elsewhere."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ConfigError(f"{name!r} is not a run name: use one name without slashes")
    return name


def write_run_files(run_dir: Path, config: Config) -> None:
    """Write ``config.yaml`` (resolved), ``env.json`` and, for a checkout with changes, ``code.diff``.

    A password in ``tracking.uri`` is left out: MLflow reads MLFLOW_TRACKING_USERNAME and _PASSWORD.
    """
    (run_dir / "config.yaml").write_text(dump(without_secrets(config)), encoding="utf-8")
    commit, diff = _code_state()
    environment = describe_environment() | {"git_commit": commit}
    (run_dir / "env.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
    if diff:
        (run_dir / "code.diff").write_text(mask(diff), encoding="utf-8")


def remember_run(run_dir: Path, run_id: str | None, uri: str) -> None:
    """Write ``tracking.json``: which MLflow run this is; nothing for a run that MLflow never saw."""
    if run_id is not None:
        text = json.dumps({"run_id": run_id, "tracking_uri": without_password(uri)}, indent=2)
        (run_dir / "tracking.json").write_text(text + "\n", encoding="utf-8")


def recall_run(run_dir: Path) -> str | None:
    """The MLflow run id that :func:`remember_run` wrote, or None."""
    try:
        return str(json.loads((run_dir / "tracking.json").read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe_environment() -> dict[str, Any]:
    """Versions and hardware of this process's machine."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu_name(),
        "gpus": _gpus(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpus() -> list[str]:
    """Names and memory by nvidia-smi: asking torch would load it and open a CUDA context."""
    if shutil.which("nvidia-smi") is None:
        return []
    out = _run("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return out.strip().splitlines() if out else []


def _code_state() -> tuple[str | None, str]:
    """(commit, diff against it) of this package's checkout; (None, "") for an installed package."""
    package = Path(__file__).resolve().parents[1]
    git = ("git", "-C", str(package))
    if shutil.which("git") is None or _run(*git, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, ""
    commit = _run(*git, "rev-parse", "HEAD")
    return (commit.strip(), _run(*git, "diff", "HEAD") or "") if commit else (None, "")


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def without_secrets(config: Config) -> Config:
    """``config`` as it may be written down: addresses without passwords, ``***`` for options called like secrets."""
    uri, options = config.tracking.uri, mask_settings(config.data.options)
    tracking = config.tracking.model_copy(update={"uri": without_password(uri) if uri else None})
    data = config.data.model_copy(update={"options": options})
    return config.model_copy(update={"tracking": tracking, "data": data})
