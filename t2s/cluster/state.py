"""The directory of a local cluster: what was started (``cluster.json``), who is let in (``token``), the nodes' logs.

``cluster.json`` is written before the first process exists, so that whatever was started can be found again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from t2s.errors import SetupError

FILE_NAME = "cluster.json"
TOKEN = "token"
LOCK = "mend.lock"
HEAD = "head"


@dataclass(frozen=True)
class Cluster:
    """A cluster as it was asked for. ``state`` is an absolute path."""

    state: Path
    mark: str
    """What its processes carry, see :mod:`t2s.cluster.processes`."""
    port: int
    """Of the head's store, which nodes and drivers join."""
    dashboard_port: int
    workers: int
    cpus: int
    """That each node offers."""
    ip: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """What ``ray.address`` takes."""
        return f"{self.ip}:{self.port}"

    @property
    def url(self) -> str:
        """The dashboard, which takes jobs too."""
        return f"http://{self.ip}:{self.dashboard_port}"

    @property
    def names(self) -> list[str]:
        """The nodes, the head first."""
        return [HEAD, *(f"worker-{number}" for number in range(1, self.workers + 1))]

    @property
    def token_file(self) -> Path:
        """Readable by its owner only."""
        return self.state / TOKEN


def create(cluster: Cluster) -> None:
    """Write the directory; a :class:`SetupError` if it holds a cluster already, dead or alive, or cannot be written."""
    path = cluster.state / FILE_NAME
    kept = {name: value for name, value in asdict(cluster).items() if name != "state"}
    try:
        cluster.state.mkdir(parents=True, exist_ok=True)
        # Before the record, which keeps others out: what fails here leaves nothing that says "a cluster".
        (cluster.state / ".gitignore").write_text("*\n", "utf-8")  # git heeds it, and so does the upload of a job
        _write_new(path, json.dumps(kept, indent=1) + "\n", 0o644)
        cluster.token_file.unlink(missing_ok=True)
        _write_new(cluster.token_file, secrets.token_hex(32), 0o600)
    except OSError as error:
        if isinstance(error, FileExistsError) and error.filename == str(path):
            option = state_option(cluster.state)
            raise SetupError(
                f"{cluster.state} holds a cluster already (t2s cluster status{option}): end it with "
                f"t2s cluster down{option}, or give another --state"
            ) from None
        if error.filename == str(cluster.token_file):
            path.unlink(missing_ok=True)
        raise SetupError(f"{error.filename}: {error.strerror}: give another --state") from None


def read(state: Path) -> Cluster | None:
    """The cluster of a directory, None if there is none; a :class:`SetupError` if its file is damaged."""
    path = state.absolute() / FILE_NAME
    if not path.is_file():
        return None
    try:
        return Cluster(state.absolute(), **json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(
            f"{path}: cannot be read ({error}): end the cluster's processes by hand, then remove it"
        ) from None


def forget(cluster: Cluster) -> None:
    """Remove what let clients in and what named the processes; logs stay."""
    cluster.token_file.unlink(missing_ok=True)
    (cluster.state / FILE_NAME).unlink(missing_ok=True)


@contextmanager
def only_one(cluster: Cluster) -> Iterator[None]:
    """Keep others from starting nodes meanwhile; a :class:`SetupError` if one does. The lock ends with its process."""
    with (cluster.state / LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(f"{cluster.state}: another t2s cluster mend is at work: wait for it") from None
        yield


def _write_new(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)


def state_option(state: Path) -> str:
    """`` --state DIR`` for a command to type, nothing for the default one."""
    return "" if state.absolute() == DEFAULT.absolute() else f" --state {shlex.quote(str(state))}"


DEFAULT = Path("runs/cluster")
"""Where a cluster's directory is if nothing else is said."""
