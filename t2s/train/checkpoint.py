"""Checkpoints: directories ``step-N`` that are either whole or not there, and found by what is in them.

Files are written aside (``step-N.tmp``) and flushed to the disk, ``manifest.json`` with their sizes and SHA-256 comes
last, then one rename gives the directory its name. A reader believes a complete manifest whose hashes match, and
nothing else: safetensors notices truncation, but not changed bytes. A checkpoint holds safetensors and JSON only.

Not covered: a disk that loses what it said it had flushed, and somebody who rewrites a file and its hash.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from t2s.errors import RunError, SetupError

FOLDER = "checkpoints"
"""Name of the directory of checkpoints in a run."""
MANIFEST = "manifest.json"
KEPT = 2
"""Checkpoints that stay; with two, one damaged file costs one interval."""
_FORMAT = 1
_PREFIX = "step-"
_ASIDE = ".tmp"
_DAMAGED = ".damaged"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DamagedCheckpoint(RunError):
    """A checkpoint that is not what was written; the message names the file."""


def write_checkpoint(folder: Path, step: int, files: Mapping[str, bytes], about: Mapping[str, object]) -> Path:
    """Write ``files`` (name to content) as ``folder/step-N`` and return it; ``about`` is what else the manifest says.

    Raises:
        SetupError: the disk is full or cannot be written; what was there before is untouched.
    """
    final = folder / f"{_PREFIX}{step}"
    aside = folder / f"{_PREFIX}{step}{_ASIDE}"
    manifest = {
        "format": _FORMAT,
        "step": step,
        "files": {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in files.items()},
        **about,
    }
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, data in files.items():
            _write(aside / name, data)
        _write(aside / MANIFEST, json.dumps(manifest, indent=2).encode())
        _sync(aside)
        if final.exists():  # of a run that was killed and takes this step again
            _remove(final)
        aside.rename(final)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _cannot_write(final, error, sum(map(len, files.values()))) from None
    return final


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The manifest of a whole checkpoint, every file of which has the size and the hash that were written.

    Raises:
        DamagedCheckpoint: names the file and what is wrong with it.
    """
    manifest = _manifest(path)
    for name, written in manifest["files"].items():
        try:
            with (path / name).open("rb") as stream:
                size, found = os.fstat(stream.fileno()).st_size, hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DamagedCheckpoint(f"{path / name}: {error.strerror}") from None
        if size != written["bytes"]:
            raise DamagedCheckpoint(f"{path / name}: {size} bytes, but {written['bytes']} were written")
        if found != written["sha256"]:
            raise DamagedCheckpoint(f"{path / name}: not the file that was written (SHA-256 differs)")
    return manifest


def checkpoints(folder: Path) -> list[Path]:
    """Directories of checkpoints, whole or not, the newest first."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    steps = {path: path.name.removeprefix(_PREFIX) for path in entries if path.name.startswith(_PREFIX)}
    return sorted((path for path, step in steps.items() if step.isdecimal()), key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer steps that were done when it was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def newest_valid(folder: Path, warn: Callable[[str], None], wanted: Mapping[str, object]) -> Path | None:
    """The newest whole checkpoint; None if none was ever finished. Damaged ones are named and put aside.

    ``wanted`` is what its manifest must say, for example the hash of the settings.

    Raises:
        RunError: there are checkpoints, and none of them can be used.
    """
    damaged: list[Path] = []
    faults: list[str] = []
    for path in checkpoints(folder):
        try:
            _check_belongs(path, read_checkpoint(path), wanted)
        except DamagedCheckpoint as error:
            damaged.append(path)
            faults.append(str(error))
            continue
        for fault in faults:
            warn(f"checkpoint is damaged: {fault}; using {path.name} instead")
        for bad in damaged:
            _put_aside(bad)
        return path
    if damaged or list(folder.glob(f"{_PREFIX}*{_DAMAGED}*")):
        listed = "; ".join(faults) or f"only damaged ones are left in {folder}"
        raise RunError(
            f"no checkpoint in {folder} can be used: {listed}. Nothing was changed. Restore one from a backup, or "
            "start a new run"
        )
    return None


def sweep(folder: Path) -> list[Path]:
    """Remove what a killed save left, and return it."""
    left = sorted(folder.glob(f"{_PREFIX}*{_ASIDE}")) if folder.is_dir() else []
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def prune(folder: Path, keep: int = KEPT, also: Collection[int] = ()) -> None:
    """Remove all checkpoints but the ``keep`` newest and those of the steps in ``also`` (the best one)."""
    for path in checkpoints(folder)[keep:]:
        if step_of(path) not in also:
            _remove(path)


def _check_belongs(path: Path, manifest: dict[str, Any], wanted: Mapping[str, object]) -> None:
    for name, value in wanted.items():
        if manifest.get(name) != value:
            raise DamagedCheckpoint(f"{path / MANIFEST}: {name} is {manifest.get(name)!r}, this run has {value!r}")


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise DamagedCheckpoint(f"{file}: {error.strerror}") from None
    except ValueError:
        raise DamagedCheckpoint(f"{file}: not JSON ({file.stat().st_size} bytes)") from None
    if not _is_manifest(manifest) or manifest["step"] != step_of(path):
        raise DamagedCheckpoint(f"{file}: not the manifest of {path.name}")
    return dict(manifest)


def _is_manifest(manifest: Any) -> bool:
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        return False
    files = manifest.get("files")
    return (
        isinstance(files, dict)
        and bool(files)
        and isinstance(manifest.get("step"), int)
        and all(Path(name).name == name for name in files)
        and all(isinstance(entry, dict) and entry.keys() >= {"bytes", "sha256"} for entry in files.values())
    )


def _put_aside(path: Path) -> None:
    """A damaged checkpoint stays for a person to look at, and no longer stands where a new one will."""
    target = path.with_name(f"{path.name}{_DAMAGED}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{_DAMAGED}-{number}")
    path.rename(target)


def _remove(path: Path) -> None:
    """Renamed first: a kill half-way leaves rubbish that the next start sweeps, not half a checkpoint."""
    aside = path.with_name(f"{path.name}.old{_ASIDE}")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    """Make the names in a directory durable; not every file system can."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cannot_write(path: Path, error: OSError, needed: int) -> SetupError:
    place = path.parent if path.parent.is_dir() else path.parent.parent
    free = f"{shutil.disk_usage(place).free:,} are free" if place.is_dir() else f"{place} is not there"
    cure = "free some space" if error.errno in _DISK_FULL else "make output_dir writable"
    kept = checkpoints(path.parent) if path.parent.is_dir() else []
    state = f"{kept[0].name} is intact" if kept else "no earlier checkpoint was written"
    return SetupError(
        f"{path}: cannot write the checkpoint: {error.strerror}: {needed:,} bytes needed, {free}; {state}: {cure}, "
        f"then t2s train --resume {path.parent.parent}"
    )
