"""``t2s pipeline`` on the tiny model, with a real Ray, a real search and a real registry; then the same again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline_rig import lifecycle, write_people

from t2s.cli.main import run
from t2s.config import load
from t2s.pipeline.state import State
from t2s.registry import find_adapter
from t2s.search.record import read_trials
from t2s.track.files import recall_run

pytestmark = pytest.mark.usefixtures("ray")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder with ``c.yaml``."""
    folder = tmp_path_factory.mktemp("pipeline")
    settings = lifecycle(tiny_model, write_people(folder / "people"), folder / "runs")
    (folder / "c.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    return folder


@pytest.fixture(scope="module")
def state(place: Path, ray: None) -> State:
    """What the whole pipeline left."""
    assert run(["pipeline", "-c", str(place / "c.yaml"), "--name", "p"]) == 0
    return State.read(place / "runs" / "p")


def test_each_stage_uses_what_the_one_before_it_left(state: State, place: Path) -> None:
    runs = place / "runs"
    assert [stage.state for stage in state.stages] == ["done", "done", "done", "done", "skipped"]
    assert [stage.sittings for stage in state.stages] == [1] * 5
    best = next(trial for trial in read_trials(runs / "p-search") if trial.number == state["search"].result["best"])
    trained = load([runs / "p-train" / "config.yaml"])
    assert (trained.lora.r, trained.lora.alpha) == (best.setting["r"], best.setting["r"] * 2)
    results = json.loads((runs / "p-evaluate" / "evaluation.json").read_text())
    assert results["adapter_sha256"]["tuned"] == state["train"].result["sha256"] and results["data"]["split"] == "test"
    assert not list((runs / "p-evaluate").glob("answers-*")), "what predictions.jsonl holds is kept once"


def test_an_adapter_that_learned_passes_the_gate(state: State, place: Path) -> None:
    judged = state["promote"].result
    assert judged["promoted"] and judged["is_champion"] and judged["p_value"] <= 0.05
    champion = find_adapter(load([place / "c.yaml"]), "champion")
    assert champion is not None and champion.version == str(judged["version"]) == judged["champion"]
    assert state["deploy"].result["champion"] == champion.version


def test_mlflow_has_one_run_a_stage_below_the_pipelines(state: State, place: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    parent = client.get_run(str(recall_run(state.run_dir)))
    assert (parent.info.run_name, parent.info.status, parent.data.tags["t2s.kind"]) == ("p", "FINISHED", "pipeline")
    assert parent.data.metrics["ex_tuned"] == state["evaluate"].result["scores"]["ex_tuned"]
    for name in ("search", "train", "evaluate"):
        child = client.get_run(parent.data.tags[f"t2s.{name}_run"])
        assert child.info.run_name == f"p-{name}" and child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {"summary.html", "pipeline.json"} <= {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_the_same_command_again_skips_what_is_done_in_seconds(
    state: State, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = State.read(state.run_dir).stages
    began = time.process_time()
    assert run(["pipeline", "-c", str(place / "c.yaml"), "--name", "p", "--json"]) == 0
    assert time.process_time() - began < 20  # a stage that runs again takes minutes
    told = capsys.readouterr()
    found: dict[str, Any] = json.loads(told.out)
    assert found["finished"] and Path(found["summary"]).stat().st_size > 5_000
    said = " ".join(told.err.split())
    assert "[2/5] train: done before" in said and "nothing is left to do" in said
    assert State.read(state.run_dir).stages == before


def test_other_settings_are_refused_on_one_line_and_a_stage_is_done_again_when_asked(
    state: State, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pipeline", "-c", str(place / "c.yaml"), "--name", "p", "inference.max_new_tokens=2"]
    assert run(words) == 2
    assert "inference.max_new_tokens" in capsys.readouterr().err
    evaluated = ["pipeline", "--resume", "p", f"output_dir={place / 'runs'}", "--from", "promote"]
    assert run(evaluated) == 0
    again = State.read(state.run_dir)["promote"].result
    assert again["is_champion"] and again["version"] == state["promote"].result["version"], "one adapter, one version"
    assert again["reason"] == state["promote"].result["reason"]
