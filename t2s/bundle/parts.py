"""Files laid end to end and cut into parts of one size; whole parts of an interrupted collection are kept.

The order is that of the names, so that the same files give the same parts. A part is written aside and renamed when it
is whole; one that is there already is kept if it holds the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from t2s.bundle.standalone import CHUNK, PART
from t2s.errors import ConfigError, SetupError

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
MIN_PART = 1000
MAX_PARTS = 100_000
ASIDE = ".part.tmp"


@dataclass(frozen=True)
class Written:
    """What was laid down: files and parts for the manifest, and how many parts were there already."""

    files: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    kept: int


def parse_size(text: str) -> int:
    """``500MB``, ``4GiB`` or ``1000000`` in bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?B)?", text.strip().upper())
    size = int(float(found[1]) * UNITS.get(found[2] or "B", 0)) if found else 0
    if size < MIN_PART:
        raise ConfigError(f"--part-size {text}: expected a size of {MIN_PART} bytes or more, for example 500MB or 4GiB")
    return size


def write_parts(out: Path, sources: Mapping[str, Path], part_size: int, say: Callable[[str], object]) -> Written:
    """Write ``sources`` (place in the bundle → file) as parts into ``out``; other parts there are removed.

    Raises:
        ConfigError: so small a part that there would be too many.
        SetupError: no space, a file that cannot be read, or one that changes meanwhile.
    """
    sizes = {path: path.stat().st_size for path in sources.values()}
    total = sum(sizes[path] for path in sources.values())
    count = -(-total // part_size)
    if count > MAX_PARTS:
        raise ConfigError(f"--part-size {part_size}: makes {count} parts; {MAX_PARTS} is the most")
    files: list[dict[str, Any]] = []
    parts, kept = [], 0
    stream = _Stream(sources, sizes, files)
    try:
        for number in range(1, count + 1):
            name = f"part-{number:04}"
            digest, was_there = _part(out, out / name, stream, min(part_size, total - (number - 1) * part_size))
            kept += was_there
            parts.append({"name": name, "size": (out / name).stat().st_size, "sha256": digest})
            say(f"{name} of {count}{', kept' if was_there else ''}")
        stream.finish()
    except OSError as error:
        cure = "free some space, or choose another directory; the parts that are whole are kept"
        raise SetupError(f"{error.filename or out}: {error.strerror}: {cure}") from None
    for stray in out.glob("part-*"):
        if PART.fullmatch(stray.name) and stray.name not in {part["name"] for part in parts}:
            stray.unlink()
    return Written(files, parts, kept)


def _part(out: Path, part: Path, stream: _Stream, size: int) -> tuple[str, bool]:
    """Lay the next ``size`` bytes down as ``part``; returns their SHA-256, and whether they were there already."""
    if part.is_file() and not part.is_symlink() and part.stat().st_size == size:
        with part.open("rb") as there:
            place, same, digest = stream.place, True, hashlib.sha256()
            for chunk in stream.read(size):
                digest.update(chunk)
                same = same and there.read(len(chunk)) == chunk
        if same:
            return digest.hexdigest(), True
        stream.back_to(place)
    digest = hashlib.sha256()
    aside = out / ASIDE
    with aside.open("wb") as file:
        for chunk in stream.read(size):
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(part)
    return digest.hexdigest(), False


class _Stream:
    """All files as one, in the order of their names; notes each file's size and SHA-256 as it passes."""

    def __init__(self, sources: Mapping[str, Path], sizes: Mapping[Path, int], files: list[dict[str, Any]]) -> None:
        self._sources = sorted(sources.items())
        self._sizes = sizes
        self._files = files
        self._index, self._at = 0, 0
        self._open: BinaryIO | None = None
        self._digest = hashlib.sha256()

    @property
    def place(self) -> tuple[int, int, Any]:
        """Where it stands."""
        return self._index, self._at, self._digest.copy()

    def back_to(self, place: tuple[int, int, Any]) -> None:
        """Stand there again."""
        self._close()
        self._index, self._at, digest = place
        self._digest = digest.copy()
        del self._files[self._index :]

    def read(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, in chunks."""
        while size:
            if self._open is None:
                self._open = self._sources[self._index][1].open("rb")
                self._open.seek(self._at)
            chunk = self._open.read(min(size, CHUNK))
            if not chunk:
                self._next()
                continue
            self._digest.update(chunk)
            self._at += len(chunk)
            self._check(self._at <= self._size)
            size -= len(chunk)
            yield chunk

    def finish(self) -> None:
        """Note what ends here, empty files too."""
        while self._index < len(self._sources):
            self._next()

    def _next(self) -> None:
        self._check(self._at == self._size)
        self._files.append(
            {"path": self._sources[self._index][0], "size": self._at, "sha256": self._digest.hexdigest()}
        )
        self._close()
        self._index, self._at, self._digest = self._index + 1, 0, hashlib.sha256()

    @property
    def _size(self) -> int:
        return self._sizes[self._sources[self._index][1]]

    def _check(self, is_same: bool) -> None:
        """A file that grows would cut off the last one, a shorter one would leave nothing to read."""
        if not is_same:
            path = self._sources[self._index][1]
            raise SetupError(f"{path}: changed while it was bundled: when it is at rest, run the same again")

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
