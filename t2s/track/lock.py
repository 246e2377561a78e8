"""One process a run directory: ``run.lock`` names its holder, and a holder that died gives it up.

Two things must agree before a lock counts as given up: the kernel's lock on the file, which ends with the process, and
the process that the file names (its id and its start, since ids are used again). Not covered: a holder on
another machine that died with a network disk in between; its lock is refused until somebody removes the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2s.errors import ConfigError

FILE_NAME = "run.lock"


@contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Keep every other process out of ``run_dir`` for the length of the block.

    Raises:
        ConfigError: another process is there; names its id, host and start.
    """
    path = run_dir / FILE_NAME
    descriptor = _open_locked(path)
    try:
        refuse_if_held(run_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_myself()).encode() + b"\n", 0)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def refuse_if_held(run_dir: Path) -> None:
    """Raise a :class:`ConfigError` that names the living process whose run this is."""
    held_by = holder(run_dir)
    if held_by is not None:
        raise _held(run_dir, held_by)


def holder(run_dir: Path) -> dict[str, Any] | None:
    """The living process that holds ``run_dir`` (``pid``, ``host``, ``since``), if any."""
    found = _read(run_dir / FILE_NAME)
    return found if found is not None and _may_live(found) else None


def _open_locked(path: Path) -> int:
    """A descriptor with the kernel's lock, on the file that the name stands for now."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise _held(path.parent, _read_soon(path)) from None
        except OSError:
            return descriptor  # a file system without locks: the named process decides alone
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)  # the holder before removed it between our two calls


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _myself() -> dict[str, Any]:
    return {
        "job": os.environ.get("T2S_JOB"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": _start_ticks(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # nobody, or killed while writing its name
    return holder if isinstance(holder, dict) and isinstance(holder.get("pid"), int) else None


def _read_soon(path: Path) -> dict[str, Any]:
    """The holder's name, which it writes a moment after it has the lock."""
    for _ in range(20):
        if holder := _read(path):
            return holder
        time.sleep(0.05)
    return {}


def _may_live(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname():
        # A job is submitted again under its id only once the cluster says that the attempt before has ended.
        return not holder.get("job") or holder["job"] != os.environ.get("T2S_JOB")
    if holder["pid"] == os.getpid():
        return False
    started = _start_ticks(holder["pid"])
    return started is not None and started == holder.get("started")


def _start_ticks(pid: int) -> int | None:
    """When a process of this machine began, in clock ticks after boot; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return _without_proc(pid)
    return int(stat[stat.rfind(")") :].split()[20])  # the name before may hold spaces and brackets


def _without_proc(pid: int) -> int | None:
    """On a system without /proc: 0 for a living process."""
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


def _held(run_dir: Path, holder: dict[str, Any]) -> ConfigError:
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
    here = holder.get("host") in (None, socket.gethostname())
    cure = "wait for it or end it" if here else f"if that machine is gone, remove {run_dir / FILE_NAME}"
    return ConfigError(f"{run_dir}: another process works on this run ({who}): {cure}")
