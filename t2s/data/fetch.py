"""Get WikiSQL's official archive: download it with resume, or take a local copy; believed once it unpacks."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from t2s.data.archive import unpack
from t2s.data.wikisql import ARCHIVE_NAME
from t2s.errors import ConfigError, DataError, SetupError

if TYPE_CHECKING:
    import httpx

URL = "https://github.com/salesforce/WikiSQL/raw/master/data.tar.bz2"
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None if the server does not say)."""

log = logging.getLogger(__name__)


def fetch(to: Path, from_: Path | None = None, *, url: str = URL, progress: Progress | None = None) -> Path:
    """Leave the archive in the directory ``to`` and return its path; ``WikiSQLPipeline`` finds it there.

    Args:
        to: the cache directory.
        from_: a local archive to copy; None downloads ``url``. A download that breaks off is taken up again
            by the next call, from the ``.part`` file that it left.
        progress: told of every piece that arrives.

    Raises:
        SetupError: no network, an answer that is not the file, or a disk that takes no more.
        DataError: what arrived is not a whole, safe WikiSQL archive.
    """
    target = to / ARCHIVE_NAME
    part = target.with_name(target.name + ".part")
    try:
        to.mkdir(parents=True, exist_ok=True)
        if from_ is not None:
            part = target.with_name(target.name + ".copy")
            _copy(from_, part)
        elif target.is_file():
            log.info("%s is already here; delete it to download it again", target)
            unpack(target, to)
            return target
        else:
            _download(url, part, progress or (lambda done, total: None))
    except OSError as error:
        raise SetupError(f"cannot write {part}: {error.strerror or error}; free space or choose --to") from error
    return _believe(part, target, to)


def _believe(part: Path, target: Path, to: Path) -> Path:
    """Unpack ``part``, which checks every byte of it, and give it its name."""
    try:
        unpack(part, to)
    except DataError:
        part.unlink(missing_ok=True)
        raise
    part.replace(target)
    return target


def _copy(archive: Path, to: Path) -> None:
    if archive.is_dir():
        raise ConfigError(f"--from {archive} is a directory; it needs no fetching: set data.path={archive}")
    if not archive.is_file():
        raise DataError(f"--from {archive}: no such file")
    shutil.copyfile(archive, to)


def _download(url: str, part: Path, progress: Progress) -> None:
    import httpx

    try:
        with httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
            if _stream(client, url, part, progress) == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # longer than the file there: not a beginning of it
                _stream(client, url, part, progress)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise SetupError(
            f"cannot download {url}: {reason}. Run `t2s data fetch` again to go on where it stopped; or "
            "fetch the file on a connected machine and run `t2s data fetch --from data.tar.bz2`"
        ) from error


def _stream(client: httpx.Client, url: str, part: Path, progress: Progress) -> int:
    """Append the rest of the file to ``part``; return the status, 416 if there is no rest."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416 and have:
            return 416
        response.raise_for_status()
        resumed = response.status_code == 206
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            for piece in response.iter_raw():
                file.write(piece)
                done += len(piece)
                progress(done, total)
        return response.status_code
