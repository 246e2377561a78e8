"""The order of a pipeline's stages, and what a second run of it does; the stages themselves are elsewhere's matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from made_pipeline import REFUSED, RESULTS, config_of

from t2s.errors import ConfigError, DataError
from t2s.pipeline import run
from t2s.pipeline.state import NAMES, Flags, State
from t2s.pipeline.work import Work
from t2s.track.lock import hold


class Silent:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def trials(self, config: Any) -> Any:
        raise NotImplementedError

    def meter(self, title: str) -> Any:
        raise NotImplementedError


class Stages:
    """Stands for the rooms that do the work: notes what was done, and fails or is interrupted where it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.faults: dict[str, BaseException] = {}

    def body(self, name: str) -> Callable[[Work], dict[str, Any]]:
        def do(work: Work) -> dict[str, Any]:
            if name in self.faults:
                raise self.faults.pop(name)
            self.done.append(name)
            return RESULTS[name]

        return do


@contextmanager
def no_ray(config: Any) -> Iterator[None]:
    yield


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(run, "BODIES", {name: made.body(name) for name in NAMES})
    monkeypatch.setattr(run, "_check", lambda work, wanted: None)
    monkeypatch.setattr(run, "ray_session", no_ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


def go(runs: Path, *words: str, start_from: str | None = None, **flags: Any) -> tuple[State, str]:
    screen = Silent()
    config = config_of(runs, "training.report_to=none", *words)
    state = run.run_pipeline(config, "p", Flags(**flags), start_from, screen)
    return state, "\n".join(screen.said)


def states(state: State) -> list[str]:
    return [stage.state for stage in state.stages]


def test_the_same_command_again_does_nothing_and_says_so(tmp_path: Path, stages: Stages) -> None:
    first, _ = go(tmp_path)
    assert stages.done == list(NAMES) and first.is_finished and first.exit_code == 0
    again, said = go(tmp_path)
    assert stages.done == list(NAMES) and "nothing is left to do" in said
    assert "[2/5] train: done before: eval loss 0.2500; p-train/adapter" in said
    assert "http://127.0.0.1:8000 does not answer from here; deploy again: t2s pipeline --resume" in said
    assert again["train"].sittings == 1 and (tmp_path / "p" / "summary.html").is_file()


def test_a_pipeline_killed_after_its_last_stage_is_told_as_ended_by_the_next(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[str] = []

    def finish(self: Any, status: str, page: Path | None) -> None:
        ends.append(status)
        if len(ends) == 1:
            raise MemoryError  # as good as a kill: nothing that is ours catches it

    monkeypatch.setattr(run.PipelineTracker, "finish", finish)
    with pytest.raises(MemoryError):
        go(tmp_path)
    assert State.read(tmp_path / "p").is_finished
    for _ in range(2):
        assert "nothing is left to do" in go(tmp_path)[1]
    assert stages.done == list(NAMES) and ends == ["FINISHED", "FINISHED"], "told once more, and not a third time"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_that_fails_is_taken_up_and_those_before_it_are_not_done_again(
    tmp_path: Path, stages: Stages, name: str
) -> None:
    stages.faults[name] = DataError("a file is gone\nand more")
    with pytest.raises(DataError):
        go(tmp_path)
    failed = State.read(tmp_path / "p")
    assert failed[name].state == "failed" and failed[name].error == "a file is gone" and failed.exit_code == 1
    assert "a file is gone" in (tmp_path / "p" / "summary.html").read_text()
    state, _ = go(tmp_path)
    assert state.is_finished and stages.done == list(NAMES) and state[name].sittings == 2


def test_ctrl_c_leaves_the_stage_open_and_says_what_to_type(tmp_path: Path, stages: Stages) -> None:
    stages.faults["train"] = KeyboardInterrupt()
    screen = Silent()
    with pytest.raises(KeyboardInterrupt):
        run.run_pipeline(config_of(tmp_path, "training.report_to=none"), "p", Flags(), None, screen)
    assert states(State.read(tmp_path / "p"))[:2] == ["done", "running"]
    assert screen.said[-1] == f"stopped; the pipeline goes on with: {run.resume_command(tmp_path / 'p')}"
    assert go(tmp_path)[0].is_finished and stages.done == list(NAMES)


def test_a_bug_of_ours_is_no_stage_that_is_done(tmp_path: Path, stages: Stages) -> None:
    stages.faults["evaluate"] = ZeroDivisionError("by zero")
    with pytest.raises(ZeroDivisionError):
        go(tmp_path)
    assert State.read(tmp_path / "p")["evaluate"].error == "ZeroDivisionError: by zero"


def test_from_a_stage_on_everything_is_done_again(tmp_path: Path, stages: Stages) -> None:
    go(tmp_path)
    with pytest.raises(ConfigError, match="evaluate was done with other settings"):
        go(tmp_path, max_samples=4)
    state, said = go(tmp_path, max_samples=4, start_from="evaluate")
    assert stages.done == [*NAMES, "evaluate", "promote", "deploy"] and state.is_finished
    assert "[1/5] search: done before" in said
    with pytest.raises(ConfigError, match="search was done with other settings"):
        go(tmp_path, "lora.r=4", start_from="deploy")
    assert len(stages.done) == 8


def test_a_refusal_changes_neither_the_record_nor_the_page(tmp_path: Path, stages: Stages) -> None:
    go(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    for words, start_from in ((["lora.r=4"], None), ([], "nothing")):
        with pytest.raises(ConfigError):
            go(tmp_path, *words, start_from=start_from)
    assert {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()} == before


def test_what_is_left_out_is_told_and_can_be_done_later(tmp_path: Path, stages: Stages) -> None:
    state, said = go(tmp_path, search=False, deploy=False)
    assert states(state) == ["skipped", "done", "done", "done", "skipped"] and state.is_finished
    assert "[1/5] search: left out: --no-search" in said
    state, _ = go(tmp_path, search=False)
    assert stages.done == ["train", "evaluate", "promote", "deploy"] and state["deploy"].state == "done"
    with pytest.raises(ConfigError, match="--no-search true then, false now"):
        go(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    go(tmp_path)
    with hold(tmp_path / "p"):
        monkeypatch.setattr("t2s.track.lock._may_live", lambda holder: True)
        with pytest.raises(ConfigError, match="another process works on this run"):
            go(tmp_path)


def test_a_directory_that_holds_another_run_is_not_taken(tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="holds another run"):
        go(tmp_path)
    assert stages.done == []


def test_a_pipeline_that_was_killed_in_its_first_moment_begins(tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "run.lock").write_text("")
    assert go(tmp_path)[0].is_finished


def deployed(runs: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch, promoted: Any, **environment: str) -> State:
    """The last stage as it is, on a cluster or not."""
    from t2s.pipeline.deploy import do_deploy

    monkeypatch.setitem(run.BODIES, "deploy", do_deploy)
    monkeypatch.setitem(run.BODIES, "promote", lambda work: promoted)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return go(runs)[0]


def test_on_a_ray_that_ends_with_the_command_nothing_is_deployed(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = deployed(tmp_path, stages, monkeypatch, RESULTS["promote"])
    assert state["deploy"].state == "skipped" and state.is_finished
    assert state["deploy"].result == {"reason": "no cluster here: serve the champion with t2s serve", "champion": "2"}


@pytest.mark.parametrize(
    ("promoted", "there", "kept"), [(RESULTS["promote"], True, False), (REFUSED, False, False), (REFUSED, True, True)]
)
def test_the_champion_is_deployed_unless_the_gate_kept_the_one_that_is_served(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch, promoted: Any, there: bool, kept: bool
) -> None:
    monkeypatch.setattr("t2s.serve.run.is_deployed", lambda: there)
    monkeypatch.setattr("t2s.serve.run.start", lambda config: config.serve.adapter)
    state = deployed(tmp_path, stages, monkeypatch, promoted, RAY_ADDRESS="127.0.0.1:1")
    url = "http://127.0.0.1:8000" if kept else "champion"  # what the substitute for a start returns
    assert state["deploy"].result == {"url": url, "version": promoted["champion"], "kept": kept}


def test_without_any_champion_there_is_nothing_to_deploy(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = deployed(tmp_path, stages, monkeypatch, REFUSED | {"champion": None}, RAY_ADDRESS="127.0.0.1:1")
    assert state["deploy"].state == "skipped" and "there is no champion" in state["deploy"].result["reason"]


def test_a_name_leads_to_no_pipeline_elsewhere(tmp_path: Path, stages: Stages) -> None:
    """Its stages would have had their directories in another place than the one that they were looked for in."""
    go(tmp_path / "theirs")
    with pytest.raises(ConfigError, match="is not a run name"):
        config = config_of(tmp_path / "mine", "training.report_to=none")
        run.run_pipeline(config, "../theirs/p", Flags(), "train", Silent())
    assert len(stages.done) == 5
