"""Fetching from a real HTTP server on this machine, with and without ranges; broken downloads; copies."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import random
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from t2s.data.fetch import KNOWN, OFFICIAL, fetch
from t2s.data.wikisql import ARCHIVE_NAME
from t2s.errors import ConfigError, DataError, SetupError


class Handler(BaseHTTPRequestHandler):
    """Serves ``content`` under its ``etag``; faults are switched on by the other keys of ``served``.

    ``stop_after`` breaks the connection after so many bytes, once; ``resumes`` false ignores ranges; ``shift`` moves
    the start of ranges; ``gzip`` compresses, asked or not; ``says`` is the length that it announces.
    """

    def __init__(self, served: dict[str, Any], *args: object) -> None:
        self.served = served
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        content, etag = self.served["content"], self.served.get("etag", '"one"')
        self.served.setdefault("asked", []).append((self.headers.get("Range"), self.headers.get("If-Range")))
        asked = self.headers.get("Range") if self.headers.get("If-Range") in (None, etag) else None
        start = int(asked[6:-1]) if asked and self.served.get("resumes", True) else 0
        if self.path == "/missing" or start >= len(content):
            self.send_error(404 if self.path == "/missing" else 416)
            return
        start += self.served.get("shift", 0) if start else 0
        body = gzip.compress(content[start:]) if self.served.get("gzip") else content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(self.served.get("says", len(body))))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.served.get("gzip"):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body[: self.served.pop("stop_after", None)])

    def log_message(self, *args: object) -> None:
        pass


def archive_bytes(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as tar:
        info = tarfile.TarInfo("data/dev.jsonl")
        info.size = 60_000
        tar.addfile(info, io.BytesIO(random.Random(seed).randbytes(60_000)))
    return buffer.getvalue()


@pytest.fixture
def served() -> Iterator[dict[str, Any]]:
    state: dict[str, Any] = {"content": archive_bytes()}
    server = HTTPServer(("127.0.0.1", 0), functools.partial(Handler, state))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state["url"] = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def test_a_download_tells_its_progress_and_leaves_the_archive(served: dict[str, Any], tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(tmp_path, url=f"{served['url']}/x", progress=lambda done, total: seen.append((done, total))).path
    content = served["content"]
    assert path == tmp_path / ARCHIVE_NAME
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_is_taken_up_again(served: dict[str, Any], tmp_path: Path, resumes: bool) -> None:
    served |= {"stop_after": 2000, "resumes": resumes}
    with pytest.raises(SetupError, match="again to go on where it stopped"):
        fetch(tmp_path, url=f"{served['url']}/x")
    part = tmp_path / f"{ARCHIVE_NAME}.part"
    assert part.stat().st_size == 2000
    assert fetch(tmp_path, url=f"{served['url']}/x").path.read_bytes() == served["content"]
    assert served["asked"] == [(None, None), ("bytes=2000-", '"one"')]
    assert sorted(path.name for path in tmp_path.glob("wikisql.tar*")) == [ARCHIVE_NAME, f"{ARCHIVE_NAME}.json"]


def test_a_file_that_changed_between_two_attempts_is_not_mixed(served: dict[str, Any], tmp_path: Path) -> None:
    served |= {"stop_after": 2000}
    with pytest.raises(SetupError):
        fetch(tmp_path, url=f"{served['url']}/x")
    served |= {"content": archive_bytes(seed=1), "etag": '"two"'}
    assert fetch(tmp_path, url=f"{served['url']}/x").path.read_bytes() == served["content"]
    assert served["asked"][1:] == [("bytes=2000-", '"one"')]


def test_a_part_of_another_address_is_not_continued_under_its_version(served: dict[str, Any], tmp_path: Path) -> None:
    served |= {"stop_after": 2000}
    with pytest.raises(SetupError):
        fetch(tmp_path, url=f"{served['url']}/x")
    assert fetch(tmp_path, url=f"{served['url']}/y").path.read_bytes() == served["content"]
    assert served["asked"][1] == ("bytes=2000-", None)


def test_a_server_that_sends_another_range_is_asked_for_the_whole(served: dict[str, Any], tmp_path: Path) -> None:
    served |= {"stop_after": 2000, "shift": 7}
    with pytest.raises(SetupError):
        fetch(tmp_path, url=f"{served['url']}/x")
    assert fetch(tmp_path, url=f"{served['url']}/x").path.read_bytes() == served["content"]
    assert served["asked"][1:] == [("bytes=2000-", '"one"'), (None, None)]


def test_an_answer_that_is_compressed_though_nobody_asked_is_undone(served: dict[str, Any], tmp_path: Path) -> None:
    served |= {"gzip": True}
    assert fetch(tmp_path, url=f"{served['url']}/x").path.read_bytes() == served["content"]


@pytest.mark.parametrize("says", [70_000, 1_000])
def test_a_wrong_length_never_becomes_an_archive(served: dict[str, Any], tmp_path: Path, says: int) -> None:
    served |= {"says": says}
    with pytest.raises((SetupError, DataError)):
        fetch(tmp_path, url=f"{served['url']}/x")
    assert not (tmp_path / ARCHIVE_NAME).exists() and not (tmp_path / f"{ARCHIVE_NAME}.json").exists()


def test_a_given_digest_must_fit_and_is_written_down(served: dict[str, Any], tmp_path: Path) -> None:
    right = hashlib.sha256(served["content"]).hexdigest()
    with pytest.raises(DataError, match=f"SHA-256 is {right}, expected {'0' * 64} .given."):
        fetch(tmp_path, url=f"{served['url']}/x", sha256="0" * 64)
    assert not list(tmp_path.iterdir())
    fetched = fetch(tmp_path, url=f"{served['url']}/x", sha256=right.upper())
    assert fetched.held_against == "given" and not fetched.is_official
    manifest = json.loads((tmp_path / f"{ARCHIVE_NAME}.json").read_text())
    assert manifest["sha256"] == right and manifest["bytes"] == len(served["content"])
    with pytest.raises(ConfigError, match="--sha256 abc: expected 64 hex digits"):
        fetch(tmp_path, url=f"{served['url']}/x", sha256="abc")


def test_the_official_address_must_give_the_official_archive(
    served: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{served['url']}/x"
    monkeypatch.setitem(KNOWN, url, OFFICIAL)
    with pytest.raises(DataError, match=f"expected {OFFICIAL} .official."):
        fetch(tmp_path, url=url)


def test_another_archive_from_the_same_address_is_found_by_the_record(served: dict[str, Any], tmp_path: Path) -> None:
    url = f"{served['url']}/x"
    assert fetch(tmp_path, url=url).held_against == ""
    assert fetch(tmp_path, url=url).held_against == "recorded"
    (tmp_path / ARCHIVE_NAME).unlink()
    served |= {"content": archive_bytes(seed=1)}
    with pytest.raises(DataError, match=r"\(recorded\); delete .*wikisql\.tar\.bz2\.json if the change is wanted"):
        fetch(tmp_path, url=url)


def test_an_archive_that_changed_on_the_disk_is_found(served: dict[str, Any], tmp_path: Path) -> None:
    path = fetch(tmp_path, url=f"{served['url']}/x").path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="SHA-256 is"):
        fetch(tmp_path, url=f"{served['url']}/x")


def test_a_part_longer_than_the_file_is_thrown_away(served: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / f"{ARCHIVE_NAME}.part").write_bytes(b"x" * 999_999)
    assert fetch(tmp_path, url=f"{served['url']}/x").path.read_bytes() == served["content"]


def test_what_is_no_archive_is_not_kept(served: dict[str, Any], tmp_path: Path) -> None:
    served["content"] = b"<html>sign in</html>"
    with pytest.raises(DataError, match="not a whole"):
        fetch(tmp_path, url=f"{served['url']}/x")
    assert not list(tmp_path.iterdir())


def test_a_fetched_archive_is_not_downloaded_again(served: dict[str, Any], tmp_path: Path) -> None:
    fetch(tmp_path, url=f"{served['url']}/x")
    fetch(tmp_path, url=f"{served['url']}/x")
    assert len(served["asked"]) == 1


def test_offline_and_missing_are_set_up_errors_with_a_cure(served: dict[str, Any], tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:9/x", f"{served['url']}/missing"):
        with pytest.raises(SetupError, match=r"t2s data fetch --from") as caught:
            fetch(tmp_path, url=url)
        assert caught.value.exit_code == 4


def test_a_local_archive_is_copied_after_a_look_inside(tmp_path: Path) -> None:
    local = tmp_path / "mine.tar.bz2"
    local.write_bytes(archive_bytes())
    assert fetch(tmp_path / "cache", local).path.read_bytes() == local.read_bytes()
    local.write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a whole"):
        fetch(tmp_path / "other", local)
    assert not list((tmp_path / "other").iterdir())


def test_a_directory_needs_no_fetching(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set data\.path="):
        fetch(tmp_path / "cache", tmp_path)
    with pytest.raises(DataError, match="no such file"):
        fetch(tmp_path / "cache", tmp_path / "nothing.tar.bz2")
