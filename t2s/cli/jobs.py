"""``t2s submit``: run a verb as a Ray job on a cluster, follow its log, end with its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, ConfigError, RunError, SetupError, suggest

VERBS = ("train", "search", "evaluate", "serve")
EXCLUDES = [
    ".git",
    ".venv",
    "venv",
    "runs",
    "dist",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
]
"""What of the working directory stays at home, in .gitignore's notation, besides its own .gitignore."""


def submit(
    verb: str,
    arguments: Sequence[str],
    address: str | None,
    working_dir: Path = Path(),
    wait: bool = True,
) -> int:
    """Submit ``python jobs/<verb>.py <arguments>`` and return its exit code (0 at once without ``wait``).

    ``working_dir`` is uploaded (512 MiB at most) and is where the job runs; ``arguments`` name paths in it.
    ``address`` is the cluster's dashboard, ``http://host:8265``, or RAY_API_SERVER_ADDRESS.

    Raises:
        ConfigError: an unknown verb, or a working directory without ``jobs/``.
        SetupError: no address, nobody there, or the cluster refuses the token.
        RunError: the job never started.
    """
    if verb not in VERBS:
        raise ConfigError(f"submit {verb}: unknown verb{suggest(verb, VERBS)}; known: {', '.join(VERBS)}")
    if not (working_dir / "jobs" / f"{verb}.py").is_file():
        raise ConfigError(
            f"{working_dir}: holds no jobs/{verb}.py: run in the project's checkout or give --working-dir"
        )
    client = connect(address)
    job = _submit(client, verb, arguments, working_dir)
    print(_next_steps(job, client.get_address()), flush=True)
    return follow(client, job) if wait else EXIT_OK


def connect(address: str | None) -> Any:
    """A ``JobSubmissionClient`` on ``address``; a :class:`SetupError` that says how to reach the cluster."""
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise SetupError("no cluster: give --address http://HOST:8265 or set RAY_API_SERVER_ADDRESS")
    if not address.startswith(("http://", "https://")):
        raise SetupError(f"--address {address}: give the dashboard's address, http://HOST:8265")
    # Ray warns that it leaves out .git and .venv by default; EXCLUDES says so itself.
    os.environ.setdefault("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, ValueError and its own here
        raise SetupError(_no_connection(address, error)) from None
    finally:
        _quiet()


def follow(client: Any, job: str) -> int:
    """Print the job's log until it ends and return its exit code. Ctrl-C leaves the job running."""
    try:
        asyncio.run(_print_log(client, job))
        return _exit_code(client, job)
    except RuntimeError as error:  # what Ray raises when the connection is lost
        raise RunError(f"lost sight of {job}, which may go on: {_one_line(error)}") from None
    except KeyboardInterrupt:
        print(f"\nnot following any more; {job} goes on", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED


async def _print_log(client: Any, job: str) -> None:
    async for text in client.tail_job_logs(job):
        print(text, end="", flush=True)


def _exit_code(client: Any, job: str) -> int:
    info = client.get_job_info(job)
    while not info.status.is_terminal():  # the log ends a moment before the status says so
        time.sleep(0.2)
        info = client.get_job_info(job)
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code) if info.driver_exit_code >= 0 else EXIT_FAILED
    if str(info.status) == "STOPPED":
        return EXIT_INTERRUPTED
    raise RunError(f"{job} {str(info.status).lower()} before it ran: {' '.join((info.message or '').split())[:500]}")


def _submit(client: Any, verb: str, arguments: Sequence[str], working_dir: Path) -> str:
    job = f"t2s-{verb}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    try:
        return str(
            client.submit_job(
                entrypoint=shlex.join(["python", f"jobs/{verb}.py", *arguments]),
                runtime_env={"working_dir": str(working_dir.resolve()), "excludes": EXCLUDES},
                submission_id=job,
                metadata={"t2s": verb},
            )
        )
    except Exception as error:  # as in connect: the upload and the cluster's checks raise many kinds
        raise RunError(f"the cluster did not take the job: {_one_line(error)}") from None


def _quiet() -> None:
    """Ray's job client sets its own loggers to INFO and lists each file that it does not upload."""
    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _no_connection(address: str, error: Exception) -> str:
    text = _one_line(error)
    if any(word in text.lower() for word in ("401", "403", "auth", "token")):
        return (
            f"{address}: the cluster wants its token: export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
            f"(or RAY_AUTH_TOKEN_PATH) ({text})"
        )
    return f"{address}: no Ray cluster answers there; is the dashboard on and reachable? ({text})"


def _next_steps(job: str, address: str) -> str:
    follow, state, end = (f"ray job {verb} {job} --address {address}" for verb in ("logs", "status", "stop"))
    return f"submitted {job}\n  log     {follow} --follow\n  status  {state}\n  stop    {end}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
