"""The Jobs API of a Ray cluster, as ``t2s submit`` and ``t2s jobs`` use it: connect, find, follow, stop.

An id is tried as often as it takes: ``ID``, then ``ID.2``, ``ID.3``; the newest attempt is what an id stands for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from t2s.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, ConfigError, RunError, SetupError, T2SError, suggest

STOP_WAIT_S = 20
"""What a job has to end in order after it was told to stop."""
_LOOK_S = 0.2
_ATTEMPT = re.compile(r"\.(\d+)$")


def connect(address: str | None) -> Any:
    """A ``JobSubmissionClient`` on ``address``; a :class:`SetupError` that says how to reach the cluster."""
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise SetupError(
            "no cluster: give --address http://HOST:8265 or set RAY_API_SERVER_ADDRESS (t2s cluster up prints it)"
        )
    if not address.startswith(("http://", "https://")):
        raise SetupError(f"--address {address}: give the dashboard's address, http://HOST:8265")
    # Ray warns that it leaves out .git and .venv by default; t2s.cli.submit.EXCLUDES says so itself.
    os.environ.setdefault("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, ValueError and its own here
        raise SetupError(_no_connection(address, error)) from None
    finally:
        _quiet()


@contextmanager
def asking(client: Any) -> Iterator[None]:
    """What the cluster answers with in this block, as an error of ours."""
    try:
        yield
    except T2SError:
        raise
    except Exception as error:  # fault boundary: Ray raises RuntimeError and its own, requests and aiohttp theirs
        raise SetupError(_no_connection(client.get_address(), error)) from None


def list_jobs(client: Any) -> list[Any]:
    """All jobs that were submitted, the oldest first."""
    with asking(client):
        jobs = [job for job in client.list_jobs() if job.submission_id]
    return sorted(jobs, key=lambda job: job.start_time or 0)


def attempts(jobs: list[Any], name: str) -> list[Any]:
    """The attempts of an id, the first one first."""
    found = [job for job in jobs if job.submission_id == name or family(job.submission_id) == name]
    return sorted(found, key=lambda job: number_of(job.submission_id))


def number_of(attempt: str) -> int:
    """Which attempt of its id."""
    return int(match[1]) if (match := _ATTEMPT.search(attempt)) else 1


def find_job(client: Any, name: str) -> Any:
    """The newest attempt of an id; a :class:`ConfigError` names a near one."""
    jobs = list_jobs(client)
    if found := attempts(jobs, name):
        return found[-1]
    known = [job.submission_id for job in jobs]
    there = "" if known else "; there are no jobs"
    raise ConfigError(f"no job {name} on {client.get_address()}{suggest(name, known)}{there}: t2s jobs list")


def is_over(job: Any) -> bool:
    """Whether the job has ended, in whatever way."""
    return bool(job.status.is_terminal())


def follow(client: Any, job: str) -> int:
    """Print the job's log until it ends and return its exit code. Ctrl-C leaves the job running."""
    from aiohttp import ClientError

    try:
        asyncio.run(_print_log(client, job))
        return exit_code(client, job)
    except T2SError:
        raise
    except (RuntimeError, OSError, ClientError) as error:  # what Ray, requests and aiohttp raise without a connection
        raise RunError(
            f"lost sight of {job}, which may go on: {one_line(error)}; the same t2s submit --id {family(job)} "
            "follows it again, or goes on with it if it died"
        ) from None
    except KeyboardInterrupt:
        print(f"\nnot following any more; {job} goes on", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED


def family(job: str) -> str:
    """The id that an attempt is of."""
    return _ATTEMPT.sub("", job)


async def _print_log(client: Any, job: str) -> None:
    async for text in client.tail_job_logs(job):
        print(text, end="", flush=True)


def exit_code(client: Any, job: str) -> int:
    """Wait for the end of a job; its exit code, 130 if it was stopped.

    Raises:
        RunError: it ended before it ran.
    """
    info = client.get_job_info(job)
    while not is_over(info):  # the log ends a moment before the status says so
        time.sleep(_LOOK_S)
        info = client.get_job_info(job)
    if str(info.status) == "SUCCEEDED":
        return EXIT_OK
    if str(info.status) == "STOPPED":
        return EXIT_INTERRUPTED
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code) if info.driver_exit_code > 0 else EXIT_FAILED
    raise RunError(f"{job} {str(info.status).lower()} before it ran: {_cause(info.message or '')}")


def _cause(message: str) -> str:
    """On one line; where Ray quotes pip behind a traceback, what pip says."""
    said = re.findall(r"^.*\bERROR: (.+)", message, re.MULTILINE)
    return f"pip: {said[0]}"[:500] if said else " ".join(message.split())[:500]


def stop(client: Any, name: str) -> Any:
    """Tell a job to stop, as Ctrl-C would, and wait until it has; the job as it is then."""
    job = find_job(client, name)
    with asking(client):
        if not is_over(job):
            client.stop_job(job.submission_id)
        deadline = time.monotonic() + 2 * STOP_WAIT_S
        while not is_over(job) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            job = client.get_job_info(job.submission_id)
    if not is_over(job):
        raise RunError(f"{job.submission_id} was told to stop and still runs after {2 * STOP_WAIT_S} s: try again")
    return job


def one_line(error: BaseException) -> str:
    """An error without its line breaks."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _quiet() -> None:
    """Ray's job client sets its own loggers to INFO and lists each file that it does not upload."""
    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _no_connection(address: str, error: Exception) -> str:
    text = one_line(error)
    if any(word in text.lower() for word in ("401", "403", "auth", "token")):
        return (
            f"{address}: the cluster refuses this token, or wants one: export RAY_AUTH_MODE=token and "
            f"RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) of this cluster ({text})"
        )
    return f"{address}: no Ray cluster answers there; is the dashboard on and reachable? ({text})"
