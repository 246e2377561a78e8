"""Download one file over HTTP, taken up again where it broke off, never mixing two versions of it.

A broken download leaves ``FILE.part`` and, beside it, ``FILE.part.json`` with the server's name for that version
(ETag or Last-Modified). The next call asks for the rest of that version only (``If-Range``); a server that has
another one, or knows no ranges, sends the whole file. Not covered: whether the bytes are the right ones; the
caller knows their digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from t2s.errors import SetupError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
NOT_SATISFIABLE = 416

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None if the server does not say)."""


class _Unfit(Exception):
    """An answer that does not continue what is here."""


def download(url: str, part: Path, progress: Progress) -> None:
    """Complete ``part`` from ``url``.

    Raises:
        SetupError: no network, or an answer that is not the whole file; ``part`` stays for the next call.
        OSError: the disk takes no more.
    """
    import httpx

    try:
        with httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
            try:
                _stream(client, url, part, progress)
            except _Unfit:
                forget(part)
                _stream(client, url, part, progress)
    except (httpx.HTTPError, httpx.InvalidURL, _Unfit) as error:
        reason = str(error) or type(error).__name__
        raise SetupError(
            f"cannot download {url}: {reason}. Run `t2s data fetch` again to go on where it stopped; or "
            "fetch the file on a connected machine and run `t2s data fetch --from data.tar.bz2`"
        ) from error


def forget(part: Path) -> None:
    """Remove what a broken download left."""
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _stream(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    """Append the rest of the file to ``part``, or write it anew if the server sends it whole."""
    have = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers=_headers(url, part, have)) as response:
        if response.status_code == NOT_SATISFIABLE and have:
            raise _Unfit("the server has no rest of it")
        response.raise_for_status()
        resumed = response.status_code == 206
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        if resumed and (encoded or _range_start(response) != have):
            raise _Unfit("the server sent another part than the one asked for")
        _note_version(url, part, response)
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and not encoded else None
        with part.open("ab" if resumed else "wb") as file:
            for piece in response.iter_bytes() if encoded else response.iter_raw():
                file.write(piece)
                done += len(piece)
                progress(done, total)


def _headers(url: str, part: Path, have: int) -> dict[str, str]:
    """Compressed answers are refused: their ranges are not the file's."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version := _noted_version(url, part):
            headers["If-Range"] = version
    return headers


def _range_start(response: httpx.Response) -> int | None:
    """Where a partial answer begins: ``Content-Range: bytes 2000-59999/60000``."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdecimal() else None


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _note_version(url: str, part: Path, response: httpx.Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag may name two files that differ in bytes (RFC 9110, 13.1.5).
    version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    _version_file(part).write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")


def _noted_version(url: str, part: Path) -> str:
    try:
        noted = json.loads(_version_file(part).read_text(encoding="utf-8"))
        return str(noted["version"]) if noted["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
