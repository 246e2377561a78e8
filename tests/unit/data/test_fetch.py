"""Fetching from a real HTTP server on this machine, with and without ranges; broken downloads; copies."""

from __future__ import annotations

import functools
import io
import random
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from t2s.data.fetch import fetch
from t2s.data.wikisql import ARCHIVE_NAME
from t2s.errors import ConfigError, DataError, SetupError


class Handler(BaseHTTPRequestHandler):
    """Serves ``content``; ``stop_after`` breaks the connection after so many bytes, once."""

    def __init__(self, served: dict[str, object], *args: object) -> None:
        self.served = served
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        content, asked = self.served["content"], self.headers.get("Range")
        assert isinstance(content, bytes)
        self.served.setdefault("ranges", []).append(asked)  # type: ignore[attr-defined]
        start = int(asked[6:-1]) if asked and self.served.get("resumes", True) else 0
        if self.path == "/missing" or start >= len(content):
            self.send_error(404 if self.path == "/missing" else 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = self.served.pop("stop_after", None)
        self.wfile.write(content[start : int(stop) if stop else None])  # type: ignore[call-overload]

    def log_message(self, *args: object) -> None:
        pass


def archive_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as tar:
        info = tarfile.TarInfo("data/dev.jsonl")
        info.size = 60_000
        tar.addfile(info, io.BytesIO(random.Random(0).randbytes(60_000)))
    return buffer.getvalue()


@pytest.fixture
def served() -> Iterator[dict[str, object]]:
    state: dict[str, object] = {"content": archive_bytes()}
    server = HTTPServer(("127.0.0.1", 0), functools.partial(Handler, state))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state["url"] = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def test_a_download_tells_its_progress_and_leaves_the_archive(served: dict[str, object], tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(tmp_path, url=f"{served['url']}/x", progress=lambda done, total: seen.append((done, total)))
    content = served["content"]
    assert isinstance(content, bytes)
    assert path == tmp_path / ARCHIVE_NAME
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_is_taken_up_again(served: dict[str, object], tmp_path: Path, resumes: bool) -> None:
    served |= {"stop_after": 2000, "resumes": resumes}
    with pytest.raises(SetupError, match="again to go on where it stopped"):
        fetch(tmp_path, url=f"{served['url']}/x")
    part = tmp_path / f"{ARCHIVE_NAME}.part"
    assert part.stat().st_size == 2000
    assert fetch(tmp_path, url=f"{served['url']}/x").read_bytes() == served["content"]
    assert served["ranges"] == [None, "bytes=2000-"]
    assert not part.exists()


def test_a_part_longer_than_the_file_is_thrown_away(served: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / f"{ARCHIVE_NAME}.part").write_bytes(b"x" * 999_999)
    assert fetch(tmp_path, url=f"{served['url']}/x").read_bytes() == served["content"]


def test_what_is_no_archive_is_not_kept(served: dict[str, object], tmp_path: Path) -> None:
    served["content"] = b"<html>sign in</html>"
    with pytest.raises(DataError, match="not a whole"):
        fetch(tmp_path, url=f"{served['url']}/x")
    assert not list(tmp_path.iterdir())


def test_a_fetched_archive_is_not_downloaded_again(served: dict[str, object], tmp_path: Path) -> None:
    fetch(tmp_path, url=f"{served['url']}/x")
    fetch(tmp_path, url=f"{served['url']}/x")
    assert served["ranges"] == [None]


def test_offline_and_missing_are_set_up_errors_with_a_cure(served: dict[str, object], tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:9/x", f"{served['url']}/missing"):
        with pytest.raises(SetupError, match=r"t2s data fetch --from") as caught:
            fetch(tmp_path, url=url)
        assert caught.value.exit_code == 4


def test_a_local_archive_is_copied_after_a_look_inside(tmp_path: Path) -> None:
    local = tmp_path / "mine.tar.bz2"
    local.write_bytes(archive_bytes())
    assert fetch(tmp_path / "cache", local).read_bytes() == local.read_bytes()
    local.write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a whole"):
        fetch(tmp_path / "other", local)
    assert not list((tmp_path / "other").iterdir())


def test_a_directory_needs_no_fetching(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set data\.path="):
        fetch(tmp_path / "cache", tmp_path)
    with pytest.raises(DataError, match="no such file"):
        fetch(tmp_path / "cache", tmp_path / "nothing.tar.bz2")
