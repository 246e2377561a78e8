"""Checkpoints as files: whole or not there, and every damage found by what is in them."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
from pathlib import Path

import pytest
from kill_saves import WANTED, kill_while_saving

from t2s.errors import RunError, SetupError
from t2s.train.checkpoint import (
    DamagedCheckpoint,
    checkpoints,
    newest_valid,
    prune,
    read_checkpoint,
    step_of,
    write_checkpoint,
)

FILES = {"adapter.safetensors": bytes(range(256)) * 20, "state.json": b'{"step": 1}', "empty": b""}


def save(folder: Path, *steps: int) -> list[Path]:
    return [write_checkpoint(folder, step, FILES | {"n": str(step).encode()}, WANTED) for step in steps]


def chosen(folder: Path) -> tuple[int | None, list[str]]:
    warnings: list[str] = []
    found = newest_valid(folder, warnings.append, WANTED)
    return (None if found is None else step_of(found)), warnings


def test_what_is_written_is_read_and_says_where_it_belongs(tmp_path: Path) -> None:
    (path,) = save(tmp_path / "new" / "folder", 7)
    manifest = read_checkpoint(path)
    assert manifest["step"] == 7 and manifest["run"] == "abc" and manifest["files"].keys() == {*FILES, "n"}
    assert {name: (path / name).read_bytes() for name in FILES} == FILES
    assert chosen(path.parent) == (7, [])


def test_the_newest_is_by_number_and_none_is_none(tmp_path: Path) -> None:
    assert chosen(tmp_path / "absent") == (None, [])
    save(tmp_path, 9, 100, 10)
    assert [step_of(path) for path in checkpoints(tmp_path)] == [100, 10, 9]
    assert chosen(tmp_path) == (100, [])


def test_a_flipped_bit_in_any_byte_of_any_file_is_found(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 1)
    for file in path.iterdir():
        whole = file.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 200)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << random.Random(at).randrange(8)
            file.write_bytes(damaged)
            if file.name == "manifest.json" and says_the_same(bytes(damaged), whole):
                continue  # a space for another white space
            with pytest.raises(DamagedCheckpoint, match=path.name):
                check(path)
        file.write_bytes(whole)
    check(path)


def check(path: Path) -> None:
    """As a resume checks it, with the run that it must be of."""
    faults: list[str] = []
    try:
        newest_valid(path.parent, faults.append, WANTED)
    except RunError as error:
        raise DamagedCheckpoint(str(error)) from None


def says_the_same(damaged: bytes, whole: bytes) -> bool:
    """Whether a changed manifest still says what matters."""
    try:
        found = json.loads(damaged)
    except ValueError:
        return False
    return bool(found == json.loads(whole))


def test_a_file_cut_anywhere_or_missing_is_found_and_the_one_before_is_used(tmp_path: Path) -> None:
    template = tmp_path / "template"
    save(template, 1, 2)
    for name in [*FILES, "n", "manifest.json"]:
        size = (template / "step-2" / name).stat().st_size
        for keep in [None, *sorted({0, 1, size // 2, size - 1} - {size, -1})]:
            folder = tmp_path / "case"
            shutil.copytree(template, folder)
            file = folder / "step-2" / name
            file.unlink() if keep is None else os.truncate(file, keep)
            step, warnings = chosen(folder)
            assert step == 1 and len(warnings) == 1 and str(file) in warnings[0], (name, keep)
            assert "step-1" in warnings[0]
            assert (folder / "step-2.damaged").is_dir(), "it stays for a person to look at"
            assert chosen(folder) == (1, []), "and is not warned of again"
            shutil.rmtree(folder)


def test_with_none_left_that_can_be_used_nothing_is_chosen_and_nothing_changes(tmp_path: Path) -> None:
    for path in save(tmp_path, 3, 4):
        (path / "manifest.json").unlink()
    for _ in range(2):  # the second time too
        with pytest.raises(RunError, match=r"step-4/manifest.json.*step-3/manifest.json") as raised:
            chosen(tmp_path)
        assert raised.value.exit_code == 1
    assert [path.name for path in checkpoints(tmp_path)] == ["step-4", "step-3"]


def test_a_checkpoint_of_another_run_is_not_used(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 5, FILES, {"run": "other"})
    with pytest.raises(RunError, match="run is 'other', this run has 'abc'"):
        chosen(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"format": 1, "step": 1, "files": {"../../secret": {"bytes": 1, "sha256": ""}}}']
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (path,) = save(tmp_path, 1)
    (path / "manifest.json").write_text(text)
    with pytest.raises(DamagedCheckpoint, match="manifest"):
        read_checkpoint(path)


def test_the_two_newest_and_the_best_stay(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5)
    prune(tmp_path, also=(2,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2", "step-4", "step-5"]


def test_a_step_that_is_taken_again_is_written_again(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 1)
    (path / "manifest.json").unlink()
    save(tmp_path, 1)
    assert chosen(tmp_path) == (1, []) and [entry.name for entry in tmp_path.iterdir()] == ["step-1"]


def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_checkpoint_and_only_whole_ones(tmp_path: Path) -> None:
    hits = kill_while_saving(tmp_path, kills=15)
    assert hits, "no kill hit a save: the test would prove nothing"


def test_a_full_disk_is_told_with_path_and_bytes_and_leaves_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # Python turns its signal into an OSError
    try:
        with pytest.raises(SetupError, match=r"step-2: cannot write .* 5,132 bytes needed, .* free; step-1 is intact"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-1"] and chosen(tmp_path) == (1, [])
