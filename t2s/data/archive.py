"""Unpack a WikiSQL archive (``.tar.bz2``, ``.tar.gz``) safely, and only the nine files that are needed.

Covered: absolute paths, ``..``, links, devices, two members for one file, a truncated or damaged archive, and a
bomb (more than ``MAX_BYTES`` or ``MAX_MEMBERS``). Any such member has the archive refused whole, needed or not.
Not covered: what the files say; the reader of the layout checks that.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from t2s.data.cache import build_once
from t2s.errors import DataError

SPLITS = ("train", "dev", "test")
FILES = tuple(f"{split}{end}" for split in SPLITS for end in (".jsonl", ".tables.jsonl", ".db"))
MAX_BYTES = 4 * 1024**3
MAX_MEMBERS = 1000


def unpack(archive: Path, cache_dir: Path) -> Path:
    """Unpack ``archive`` once into ``cache_dir`` and return the directory that holds ``data/``.

    The directory is named after the archive's SHA-256, so a changed archive is unpacked anew.

    Raises:
        DataError: not an archive, damaged, unsafe, or without a single split in it.
    """
    digest = sha256(archive)
    target = cache_dir / f"wikisql-{digest[:16]}"
    return build_once(target, lambda aside: _extract(archive, aside, digest))


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _extract(archive: Path, aside: Path, digest: str) -> dict[str, Any]:
    folder = aside / "data"
    folder.mkdir()
    sizes: dict[str, int] = {}
    total = 0
    try:
        with tarfile.open(archive, mode="r|*") as tar:
            for number, member in enumerate(tar, start=1):
                _refuse_unsafe(archive, member)
                total += member.size
                # What is not unpacked is still decompressed on the way to the next member.
                if total > MAX_BYTES or number > MAX_MEMBERS:
                    raise DataError(f"{archive}: {_too_much(number)}; this is not WikiSQL, and it was not unpacked")
                name = PurePosixPath(member.name).name
                if not member.isfile() or name not in FILES:
                    continue
                if name in sizes:
                    raise DataError(f"{archive}: holds two files named {name}; expected one archive of one data set")
                sizes[name] = member.size
                _copy(tar, member, folder / name)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's trouble, not the archive's
            raise
        raise DataError(
            f"{archive}: not a whole .tar.bz2 or .tar.gz ({error}); fetch it again with `t2s data fetch`"
        ) from error
    if not any(f"{split}.jsonl" in sizes for split in SPLITS):
        raise DataError(f"{archive}: holds none of {', '.join(FILES[::3])}; expected WikiSQL's data.tar.bz2")
    return {"archive_sha256": digest, "archive_bytes": archive.stat().st_size, "files": sizes}


def _too_much(number: int) -> str:
    return f"more than {MAX_MEMBERS} members" if number > MAX_MEMBERS else f"more than {MAX_BYTES} bytes"


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None, "regular files can be read"
    with source, to.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _refuse_unsafe(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise DataError(f"{archive}: unsafe member {member.name!r} (it points outside the archive); not unpacked")
    if not (member.isfile() or member.isdir()):
        raise DataError(f"{archive}: unsafe member {member.name!r} (a link or a device); not unpacked")
