"""Unpacking archives: only what is needed, nothing unsafe, never half."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.data.archive import unpack
from t2s.data.cache import MANIFEST, build_once
from t2s.errors import DataError, SetupError


def archive(path: Path, members: dict[str, bytes], *special: tarfile.TarInfo, mode: str = "w:bz2") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in special:
            tar.addfile(info)
    return path


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w:bz2", "w:gz", "w"])
def test_only_the_needed_files_are_unpacked_with_the_manifest(tmp_path: Path, mode: str) -> None:
    members = {"./data/dev.jsonl": b"{}", "data/dev.db": b"x", "README": b"y", "data/._dev.jsonl": b"z"}
    root = unpack(archive(tmp_path / "a.tar", members, mode=mode), tmp_path / "cache")
    assert files(root) == {"data/dev.jsonl", "data/dev.db", MANIFEST}


def test_an_archive_is_unpacked_once_and_a_changed_one_anew(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.bz2", {"data/dev.jsonl": b"{}"})
    root = unpack(path, tmp_path / "cache")
    written = (root / "data" / "dev.jsonl").stat().st_mtime_ns
    assert unpack(path, tmp_path / "cache") == root
    assert (root / "data" / "dev.jsonl").stat().st_mtime_ns == written
    archive(path, {"data/dev.jsonl": b"{} "})
    assert unpack(path, tmp_path / "cache") != root


UNSAFE: list[Callable[[Path], Path]] = [
    lambda p: archive(p, {"data/dev.jsonl": b"{}", "/etc/dev.jsonl": b"{}"}),
    lambda p: archive(p, {"data/dev.jsonl": b"{}", "../dev.db": b"{}"}),
    lambda p: archive(p, {"data/dev.jsonl": b"{}", "data/../../x": b"{}"}),
    lambda p: archive(p, {"data/dev.jsonl": b"{}"}, link("data/dev.db", tarfile.SYMTYPE)),
    lambda p: archive(p, {"data/dev.jsonl": b"{}"}, link("data/train.db", tarfile.LNKTYPE)),
    lambda p: archive(p, {"data/dev.jsonl": b"{}"}, link("pipe", tarfile.FIFOTYPE)),
    lambda p: archive(p, {"data/dev.jsonl": b"{}"}, link("device", tarfile.CHRTYPE)),
]


@pytest.mark.parametrize("make", UNSAFE)
def test_an_unsafe_member_has_the_archive_refused_and_nothing_left(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(DataError, match="unsafe member"):
        unpack(make(tmp_path / "a.tar.bz2"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, header = tmp_path / "a.tar.gz", tarfile.TarInfo("README")
    header.size = 5 * 1024**3
    path.write_bytes(gzip.compress(header.tobuf() + b"\0" * 10_000_000))
    with pytest.raises(DataError, match="more than 4294967296 bytes"):
        unpack(path, tmp_path / "cache")
    archive(path, {f"{number}": b"" for number in range(1200)}, mode="w:gz")
    with pytest.raises(DataError, match="more than 1000 members"):
        unpack(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_member_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("data/dev.jsonl")
    header.size = 5000
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf() + b"{}"))
    with pytest.raises(DataError, match="not a whole"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.bz2", {"a/dev.jsonl": b"{}", "b/dev.jsonl": b"{}"})
    with pytest.raises(DataError, match=r"two files named dev\.jsonl"):
        unpack(path, tmp_path / "cache")


def test_a_truncated_archive_and_a_text_file_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar.bz2", {"data/dev.jsonl": bytes(range(256)) * 4000}).read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>not found</html>", b""):
        (tmp_path / "b.tar.bz2").write_bytes(content)
        with pytest.raises(DataError, match="not a whole"):
            unpack(tmp_path / "b.tar.bz2", tmp_path / "cache")
        assert not list((tmp_path / "cache").iterdir())


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of train\.jsonl"):
        unpack(archive(tmp_path / "a.tar.bz2", {"photo.jpg": b"x"}), tmp_path / "cache")


def test_a_directory_without_a_manifest_is_built_anew(tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.mkdir()
    (target / "half").write_text("torn")

    def write(folder: Path) -> dict[str, str]:
        (folder / "whole").write_text("ok")
        return {}

    assert files(build_once(target, write)) == {"whole", MANIFEST}


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> dict[str, str]:
        (folder / "half").write_text("torn")
        raise OSError("no space left on device")

    with pytest.raises(SetupError, match=r"no space left.*data\.cache_dir"):
        build_once(tmp_path / "made", write)
    assert not list(tmp_path.iterdir())
