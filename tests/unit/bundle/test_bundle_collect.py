"""Making a bundle: what goes in, in which order, and what an interruption leaves."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from bundle_rig import NAME, PART, Collect

from t2s.bundle import parts, wheels
from t2s.bundle.parts import parse_size
from t2s.bundle.sources import bundled_config, data_files, model_files
from t2s.bundle.standalone import INSTALLER, MANIFEST, main
from t2s.cli.main import run
from t2s.config import load
from t2s.errors import ConfigError, DataError, SetupError
from t2s.model.base import BaseFiles


def manifest_of(out: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((out / MANIFEST).read_text("utf-8"))
    return found


def test_a_bundle_holds_model_and_data_in_parts_of_the_size_with_every_hash(collect: Collect, tmp_path: Path) -> None:
    made = collect()
    manifest = manifest_of(made.directory)
    paths = [entry["path"] for entry in manifest["files"]]  # type: ignore[attr-defined, index]
    data = [f"data/{name}" for name in ("databases/shop.db", "empty.txt", "test.jsonl", "train.jsonl", "val.jsonl")]
    assert paths == [*data, "model/LICENSE", "model/config.json", "model/model.safetensors"]
    parts = manifest["parts"]
    assert [part["size"] for part in parts][:-1] == [PART] * (made.parts - 1)  # type: ignore[attr-defined]
    for part in parts:  # type: ignore[attr-defined]
        raw = (made.directory / part["name"]).read_bytes()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (part["size"], part["sha256"])
    assert {file.name for file in made.directory.iterdir()} == {
        MANIFEST,
        INSTALLER,
        *(part["name"] for part in parts),  # type: ignore[attr-defined]
    }
    raw = (made.directory / MANIFEST).read_bytes()
    assert hashlib.sha256(raw).hexdigest() == made.manifest_sha256
    assert str(tmp_path) not in json.dumps(manifest["config"]["data"])  # type: ignore[index]


def test_the_same_things_make_the_same_bytes(collect: Collect, stand_in: str) -> None:
    first, second = (collect(name, wheels=True, root=stand_in).directory for name in ("one", "two"))
    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_the_wheels_are_those_of_the_installed_versions(collect: Collect, stand_in: str) -> None:
    manifest = manifest_of(collect(wheels=True, root=stand_in, model=False, data=False).directory)
    assert manifest["requirements"] == [f"{NAME}==1.0"]
    assert manifest["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert manifest["unpacked"] > 8000  # type: ignore[operator]
    pins = wheels.pins_of("t2s", without=("mlflow",))
    assert {"torch", "ray", "grpcio", "fastapi"} <= pins.keys() and "mlflow" not in pins


def test_an_interrupted_collection_goes_on_and_keeps_whole_parts(collect: Collect, tmp_path: Path) -> None:
    whole = collect("whole").directory
    out = tmp_path / "bundle"
    out.mkdir()
    names = sorted(part.name for part in whole.glob("part-*"))
    for name in names[:2]:
        (out / name).write_bytes((whole / name).read_bytes())
    (out / names[2]).write_bytes(b"x" * PART)  # of the right size, and not its bytes
    (out / "part-0099").write_bytes(b"left by other settings")
    (out / ".part.tmp").write_bytes(b"half")
    before = [(out / name).stat().st_mtime_ns for name in names[:2]]
    made = collect()
    assert made.kept == 2 and [(out / name).stat().st_mtime_ns for name in names[:2]] == before
    assert {f.name: f.read_bytes() for f in out.iterdir()} == {f.name: f.read_bytes() for f in whole.iterdir()}


def test_a_collection_that_is_killed_leaves_no_bundle_and_is_taken_up(
    collect: Collect, settings: list[str], tmp_path: Path
) -> None:
    big = tmp_path / "tiny-model" / "model.safetensors"
    big.write_bytes(os.urandom(6_000_000))
    out = tmp_path / "killed"
    program = "import sys; from t2s.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "bundle", str(out), "--no-wheels", "--part-size", "30kB", *settings]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.glob("part-*"))) < 5:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (out / MANIFEST).exists()
    assert main([str(out), "--to", str(tmp_path / "home")]) == 3 and not (tmp_path / "home").exists()
    made = collect("killed", part_size=30_000)
    assert made.kept >= 4 and (out / MANIFEST).is_file()


def test_a_finished_bundle_and_a_directory_of_something_else_are_left_alone(
    collect: Collect, tmp_path: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    collect()
    with pytest.raises(ConfigError, match="finished bundle"):
        collect()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    assert run(["bundle", str(tmp_path / "other"), "--no-wheels", *settings]) == 2
    assert "thesis.txt" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "0", "999", "5 parsecs", "-1MB", "nan"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="500MB"):
        parse_size(text)


def test_sizes_are_read_with_their_units() -> None:
    assert [parse_size(text) for text in ("500MB", "4GiB", "1.5 kb", "2000")] == [500_000_000, 4 << 30, 1500, 2000]


def test_what_pip_cannot_get_is_one_line_of_pips(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch, collect: Collect
) -> None:
    (tmp_path / "t2s_stand_in-1.0-py3-none-any.whl").rename(tmp_path / "gone.whl")
    with pytest.raises(SetupError, match=r"^pip wheel: .*") as caught:
        collect(wheels=True, root=stand_in)
    assert "\n" not in str(caught.value)
    with pytest.raises(SetupError, match="not installed"):
        wheels.pins_of("t2s-nobody-has-this")
    with pytest.raises(ConfigError, match=r"--python 3: .*3\.11"):
        wheels.check_python("3")


def test_no_space_is_said_before_anything_is_written(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs_result((4096, 4096, 10, 0, 0, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)  # what shutil asks: a full disk cannot be had here
    with pytest.raises(SetupError, match=r"no space: .* needed, 0 MB free"):
        collect()


def test_data_is_taken_by_its_pipeline(tmp_path: Path) -> None:
    assert data_files(load([], ["data.pipeline=synthetic"]).data) == ({}, "")
    with pytest.raises(DataError, match="t2s data fetch"):
        data_files(load([], [f"data.cache_dir={tmp_path}"]).data)
    (tmp_path / "wikisql.tar.bz2").write_bytes(b"x")
    found = data_files(load([], [f"data.cache_dir={tmp_path}"]).data)
    assert found == ({"data/wikisql.tar.bz2": tmp_path / "wikisql.tar.bz2"}, "wikisql.tar.bz2")
    folder = tmp_path / "wikisql" / "data"
    folder.mkdir(parents=True)
    for name in ("dev.jsonl", "dev.db", "notes.txt"):
        (folder / name).write_text("")
    assert sorted(data_files(load([], [f"data.path={folder.parent}"]).data)[0]) == ["data/dev.db", "data/dev.jsonl"]


def test_one_file_takes_the_databases_along_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "databases").mkdir()
    for name in ("a.db", "unused.db"):
        sqlite3.connect(tmp_path / "databases" / name).close()
        (tmp_path / "databases" / name).touch()
    (tmp_path / "own.jsonl").write_text('{"database": "a.db"}\n{"schema": "TABLE: t ( a (real) )"}\n')
    given = ["data.pipeline=jsonl", f"data.path={tmp_path / 'own.jsonl'}", "data.options.databases=databases"]
    files, where = data_files(load([], given).data)
    assert sorted(files) == ["data/databases/a.db", "data/own.jsonl"] and where == "own.jsonl"
    (tmp_path / "own.jsonl").write_text('{"database": "../a.db"}\n')
    with pytest.raises(DataError, match=r"own\.jsonl:1: .*put it there"):
        data_files(load([], given[:2]).data)


@pytest.mark.parametrize("change", [lambda file: file.open("a").write("x" * 99), lambda file: file.write_text("")])
def test_a_file_that_changes_while_it_is_bundled_is_named_and_no_other_is_cut_short(
    change: Callable[[Path], object], collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts have the sizes of the beginning: a file that grew cost the last one its end, with a hash that fits."""
    file, write = tmp_path / "shop" / "train.jsonl", parts._part
    file.write_text('{"question": "x"}\n' * 900)

    def change_and_write(out: Path, *given: Any) -> Any:
        if not list(out.glob("part-*")):
            change(file)
        return write(out, *given)

    monkeypatch.setattr(parts, "_part", change_and_write)
    with pytest.raises(SetupError, match=r"train\.jsonl: changed while it was bundled"):
        collect()
    assert not (tmp_path / "bundle" / MANIFEST).exists()


def test_what_the_installation_would_refuse_is_refused_here(collect: Collect, tmp_path: Path) -> None:
    (tmp_path / "shop" / "back\\slash.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"slash\.jsonl.*rename it"):
        collect()


def test_a_file_of_ones_own_that_is_called_like_a_part_stays(collect: Collect, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "part-list.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"part-list\.txt"):
        collect()
    assert (tmp_path / "bundle" / "part-list.txt").read_text() == "mine"


def test_a_model_file_is_taken_by_its_name_and_not_as_a_pattern(tmp_path: Path) -> None:
    for name in ("tiny[Q4].gguf", "tinyQ.gguf", "config.json"):
        (tmp_path / name).write_text("{}")
    found = model_files(BaseFiles("tiny", tmp_path, "tiny[Q4].gguf", "0"))
    assert sorted(found) == ["model/config.json", "model/tiny[Q4].gguf"]


def test_lines_that_are_no_text_are_one_line_and_left_out_where_the_settings_say_so(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_bytes(b'{"schema": "TABLE: t ( a (real) )"}\n\xff\xfe{}\n')
    given = ["data.pipeline=jsonl", f"data.path={file}"]
    with pytest.raises(DataError, match=r"own\.jsonl:2: not UTF-8"):
        data_files(load([], given).data)
    assert sorted(data_files(load([], [*given, "data.skip_bad=true"]).data)[0]) == ["data/own.jsonl"]


def test_the_settings_that_go_along_name_no_place_of_this_machine(tmp_path: Path) -> None:
    own = ["serve.adapter=runs/x/adapter", f"serve.adapters={{one: {tmp_path}, two: '7'}}", f"output_dir={tmp_path}"]
    found = bundled_config(load([], own))
    assert found["serve"]["adapter"] == "champion" and found["serve"]["adapters"] == {"two": "7"}  # type: ignore[index]
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        (None, "t2s==1.0"),
        ({"url": "file:///home/me/my%20t2s", "dir_info": {}}, "/home/me/my t2s"),
        (
            {"url": "https://host/t2s.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
            "git+https://host/t2s.git@ab12",
        ),
        ({"url": "https://host/t2s.whl", "archive_info": {}}, "https://host/t2s.whl"),
    ],
)
def test_a_package_is_got_again_from_where_it_came_and_not_by_its_name(
    told: object, origin: str, tmp_path: Path
) -> None:
    """From a repository it was sought in the index, where somebody else may have its name."""
    (tmp_path / "METADATA").write_text("Metadata-Version: 2.1\nName: t2s\nVersion: 1.0\n")
    if told:
        (tmp_path / "direct_url.json").write_text(json.dumps(told))
    assert wheels.origin_of(metadata.PathDistribution(tmp_path)) == origin


def test_a_link_in_the_data_is_refused(collect: Collect, tmp_path: Path) -> None:
    (tmp_path / "shop" / "secret.txt").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match=r"secret\.txt: is a link"):
        collect()
