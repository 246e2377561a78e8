"""``pipeline.json``: what it survives, and where stages go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_pipeline import make_state

from t2s.errors import ConfigError, RunError
from t2s.pipeline.state import FILE_NAME, Flags, State, clear_start, find_pipeline, write_synced


def test_every_change_is_on_disk_when_it_returns_and_nothing_else_is(tmp_path: Path) -> None:
    state = make_state(tmp_path, done=1, flags=Flags(max_samples=8))
    state.begin("train", {"lora.r": "8"})
    again = State.read(tmp_path / "p")
    assert again.flags == Flags(max_samples=8) and again.stages == state.stages
    assert [stage.state for stage in again.stages] == ["done", "running", "pending", "pending", "pending"]
    assert again.place("train") == tmp_path / "p-train" and again["train"].sittings == 1
    assert not list(tmp_path.glob("*/*.tmp"))


def test_a_record_that_was_killed_while_it_was_written_is_the_one_before(tmp_path: Path) -> None:
    make_state(tmp_path, done=2)
    (tmp_path / "p" / f"{FILE_NAME}.tmp").write_text('{"kind": "pipe')
    assert [stage.state for stage in State.read(tmp_path / "p").stages][:2] == ["done", "done"]


def test_a_stage_taken_up_keeps_its_place_and_its_beginning(tmp_path: Path) -> None:
    state = make_state(tmp_path, done=0)
    state.begin("search", {})
    first = state["search"]
    (tmp_path / "p-search").mkdir()
    state.fail("search", "no room")
    state.begin("search", {})
    assert (state["search"].place, state["search"].began) == (first.place, first.began)
    assert (state["search"].sittings, state["search"].error) == (2, "")


def test_a_stage_never_takes_the_directory_of_somebody_elses_run(tmp_path: Path) -> None:
    (tmp_path / "p-train").mkdir(parents=True)
    state = make_state(tmp_path, done=1)
    state.begin("train", {})
    assert state["train"].place == "p-train-2"


def test_what_is_done_again_goes_elsewhere_and_what_came_before_stays(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    for name in ("search", "train", "evaluate"):
        (tmp_path / f"p-{name}").mkdir()
    state.redo_from("train")
    state.begin("train", {})
    assert [stage.state for stage in State.read(tmp_path / "p").stages] == ["done", "running", *["pending"] * 3]
    assert state["train"].place == "p-train-2" and (tmp_path / "p-train").is_dir()


def test_only_what_a_first_moment_leaves_is_taken_away(tmp_path: Path) -> None:
    killed, used = tmp_path / "killed", tmp_path / "used"
    for place, name in ((killed, "config.yaml"), (used, "study.db")):
        place.mkdir()
        (place / "run.lock").write_text("")
        (place / name).write_text("x")
    clear_start(killed)
    clear_start(tmp_path / "never made")
    assert list(killed.iterdir()) == []
    with pytest.raises(ConfigError, match="holds another run"):
        clear_start(used)
    assert (used / "study.db").is_file()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stages": []}', '{"stages": [{"name": "x"}]}'])
def test_a_damaged_record_is_named_with_the_cure(tmp_path: Path, text: str) -> None:
    make_state(tmp_path)
    (tmp_path / "p" / FILE_NAME).write_text(text)
    with pytest.raises(RunError, match=r"pipeline\.json: cannot be read as a pipeline's record.*start a new pipeline"):
        State.read(tmp_path / "p")


def test_a_pipeline_is_found_by_path_by_name_and_as_the_last_unfinished(tmp_path: Path) -> None:
    make_state(tmp_path / "one", done=5)
    make_state(tmp_path / "two", done=3)
    assert find_pipeline("p", tmp_path / "two") == find_pipeline(str(tmp_path / "two" / "p"), tmp_path / "one")
    (tmp_path / "two" / "damaged").mkdir()
    (tmp_path / "two" / "damaged" / FILE_NAME).write_text("{")
    assert find_pipeline("last", tmp_path / "two") == tmp_path / "two" / "p"
    with pytest.raises(ConfigError, match="no unfinished pipeline"):
        find_pipeline("last", tmp_path / "one")
    with pytest.raises(ConfigError, match=r"--resume pp: no pipeline of that name.*did you mean 'p'"):
        find_pipeline("pp", tmp_path / "one")


def test_a_text_with_half_a_character_is_written_all_the_same(tmp_path: Path) -> None:
    write_synced(tmp_path / "x", json.dumps("é") + "\ud800")
    assert (tmp_path / "x").read_text().endswith("\\ud800")
