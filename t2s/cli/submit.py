"""``t2s submit``: run a verb as a Ray job on a cluster, follow its log, end with its exit code.

The same command with the same ``--id`` is safe to repeat: a job that runs is followed, one that succeeded is left
alone, and one that ended otherwise, or went away with its head, is submitted again and goes on from its run
(:mod:`t2s.cli.job_entry`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.cli.console import say
from t2s.cli.job_client import (
    STOP_WAIT_S,
    asking,
    attempts,
    connect,
    follow,
    is_over,
    list_jobs,
    number_of,
    one_line,
)
from t2s.cli.job_entry import JOB, tracking_of
from t2s.errors import EXIT_OK, ConfigError, RunError, suggest
from t2s.masking import mask, tells_secret

VERBS = ("train", "search", "evaluate", "pipeline", "serve")
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


@dataclass(frozen=True)
class Job:
    """What is to run, and with what."""

    verb: str
    arguments: Sequence[str] = ()
    working_dir: Path = Path()
    name: str | None = None
    """The id; made up if None."""
    cpus: float | None = None
    gpus: float | None = None
    memory_gb: float | None = None
    pip: Sequence[str] = ()
    image: str | None = None

    @property
    def entrypoint(self) -> str:
        """The command that the cluster runs; by an image's own t2s, since Ray uploads no directory beside an image."""
        start = ["python", "-m", "t2s.cli.job_entry", self.verb] if self.image else ["python", f"jobs/{self.verb}.py"]
        return shlex.join([*start, *self.arguments])

    def runtime_env(self, name: str) -> dict[str, Any]:
        """What Ray prepares for the job; ``name`` is its id."""
        stopping = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
        shared = {"env_vars": {JOB: name, **stopping}}
        if self.image:
            return {"image_uri": self.image, **shared}
        own = {"pip": [_requirement(package, self.working_dir) for package in self.pip]} if self.pip else {}
        return {"working_dir": str(self.working_dir.resolve()), "excludes": EXCLUDES, **own, **shared}


def _requirement(package: str, working_dir: Path) -> str:
    """A package as pip takes it on a node; a path is seen from where Ray unpacks the working directory there.

    Ray keeps an environment by its list of packages: what a directory holds is part of its line, as pip's comment.

    Raises:
        ConfigError: a path that does not exist or is not uploaded.
    """
    path = working_dir / package
    if not (package.startswith((".", "/")) or path.is_dir() or package.endswith(".whl")):
        return package
    root, found = working_dir.resolve(), path.resolve()
    if not found.exists():
        raise ConfigError(f"--pip {package}: no such file or directory in {working_dir}")
    if not found.is_relative_to(root) or found == root:
        raise ConfigError(f"--pip {package}: lies outside {working_dir}, which alone is uploaded: copy it there")
    return f"${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{found.relative_to(root)} # {_digest(found)}"


def _digest(path: Path) -> str:
    """12 hex digits of a file, or of a directory's files and their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def submit(job: Job, address: str | None, wait: bool = True) -> int:
    """Submit a job, or go on with the one of its id, and return its exit code (0 at once without ``wait``).

    ``working_dir`` is uploaded (512 MiB at most) and is where the job runs; ``arguments`` name paths in it.
    ``address`` is the cluster's dashboard, ``http://host:8265``, or RAY_API_SERVER_ADDRESS.

    Raises:
        ConfigError: an unknown verb, an id that cannot be or that runs something else, a directory without ``jobs/``.
        SetupError: no address, nobody there, or the cluster refuses the token.
        RunError: the job never started.
    """
    _check(job)
    client = connect(address)
    name = job.name or f"t2s-{job.verb}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    attempt, is_new = _settle(client, job, name)
    if attempt is None:
        return EXIT_OK
    if is_new:
        _send(client, job, name, attempt)
    print(_next_steps(job, name, attempt, client.get_address()), flush=True)
    return follow(client, attempt) if wait else EXIT_OK


def _check(job: Job) -> None:
    for word in (*job.arguments, *job.pip):
        if tells_secret(word):
            raise ConfigError(
                f"{mask(word).partition('=')[0]}: holds a password or token, and all who see the cluster's jobs could "
                "read it: leave it out, and set it in the nodes' environment (for example MLFLOW_TRACKING_PASSWORD)"
            )
    known = sorted({*VERBS, *(file.stem for file in (job.working_dir / "jobs").glob("*.py"))})
    if job.verb not in known:
        raise ConfigError(f"submit {job.verb}: unknown verb{suggest(job.verb, known)}; known: {', '.join(known)}")
    if job.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", job.name):
        raise ConfigError(
            f"--id {job.name}: letters, digits, - and _ only, 80 at most: it names the run's directory too"
        )
    if job.image and job.pip:
        raise ConfigError("--image and --pip do not go together: an image brings its packages")
    for package in job.pip:
        _requirement(package, job.working_dir)
    if not job.image and not (job.working_dir / "jobs" / f"{job.verb}.py").is_file():
        raise ConfigError(
            f"{job.working_dir}: holds no jobs/{job.verb}.py: run in the project's checkout or give --working-dir"
        )


def _settle(client: Any, job: Job, name: str) -> tuple[str | None, bool]:
    """The attempt to follow and whether it is to be submitted; (None, False) if there is nothing left to do."""
    tried = attempts(list_jobs(client), name)
    if not tried:
        return name, True
    last = tried[-1]
    same = last.entrypoint == job.entrypoint
    if not is_over(last):
        if not same:
            raise ConfigError(
                f"--id {name}: {last.submission_id} runs something else ({last.entrypoint}): give another --id, or end "
                f"it: t2s jobs stop {name}"
            )
        say(f"{last.submission_id} runs already: following it")
        return str(last.submission_id), False
    if same and str(last.status) == "SUCCEEDED":
        say(f"{last.submission_id} has succeeded: nothing is left to do (t2s jobs logs {name})")
        return None, False
    attempt = f"{name}.{number_of(last.submission_id) + 1}"
    say(f"{last.submission_id} {str(last.status).lower()}: going on as {attempt}")
    return attempt, True


def _send(client: Any, job: Job, name: str, attempt: str) -> None:
    memory = int(job.memory_gb * 1e9) if job.memory_gb else None
    try:
        client.submit_job(
            entrypoint=job.entrypoint,
            runtime_env=job.runtime_env(name),
            submission_id=attempt,
            metadata={"t2s": job.verb},
            entrypoint_num_cpus=job.cpus,
            entrypoint_num_gpus=job.gpus,
            entrypoint_memory=memory,
        )
    except Exception as error:  # as in connect: the upload and the cluster's checks raise many kinds
        with asking(client):
            taken = attempts(list_jobs(client), attempt)
        if not taken:  # else the same command was quicker elsewhere, or the answer got lost on its way
            raise RunError(f"the cluster did not take the job: {one_line(error)}") from None


def _next_steps(job: Job, name: str, attempt: str, address: str) -> str:
    """What to type next; the id is the newest attempt's too."""
    log, status, end = (f"t2s jobs {verb} {name} --address {address}" for verb in ("logs", "status", "stop"))
    lines = [f"job {attempt}", f"  log     {log} --follow", f"  status  {status}", f"  stop    {end}"]
    lines.append(f"  again   the same command with --id {name} follows it, or goes on with it if it died")
    if tracking := tracking_of(job.verb, job.arguments, job.working_dir):
        uri, experiment = tracking
        lines.append(f"  MLflow  {uri} (experiment {experiment}, run {name})")
    return "\n".join(lines)
