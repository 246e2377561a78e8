"""The commands as a user types them, on a tiny model with a real Ray: train, evaluate, register, ask, be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import save_tiny_model

from t2s.cli.main import run
from t2s.config import load
from t2s.registry import promote, register, resolve_adapter
from t2s.track.files import recall_run
from t2s.track.journal import read_journal

pytestmark = pytest.mark.usefixtures("ray")

SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def overrides(tiny_overrides: Callable[[Path], list[str]], runs: Path) -> list[str]:
    return tiny_overrides(runs)


@pytest.fixture(scope="module")
def trained(overrides: list[str], runs: Path, ray: None) -> Path:
    assert run(["train", "--name", "first", "--max-val-samples", "8", *overrides]) == 0
    return runs / "first"


@pytest.fixture(scope="module")
def evaluated(trained: Path, overrides: list[str], runs: Path) -> Path:
    words = ["--adapter-path", str(trained / "adapter"), "--max-samples", "8", "--name", "scores"]
    assert run(["evaluate", *words, *overrides]) == 0
    return runs / "scores"


def mlflow_client(runs: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")


def test_a_training_leaves_files_that_a_person_can_read(trained: Path, overrides: list[str]) -> None:
    names = {entry.name for entry in trained.iterdir()}
    assert {"config.yaml", "env.json", "metrics.jsonl", "tracking.json", "adapter"} <= names
    kept, given = load([trained / "config.yaml"]), load([], [*overrides, "training.max_val_samples=8"])
    assert kept == given
    assert json.loads((trained / "env.json").read_text())["packages"]["ray"]
    manifest = json.loads((trained / "adapter" / "t2s_adapter.json").read_text())
    assert (manifest["run"], manifest["run_id"], manifest["steps"]) == ("first", recall_run(trained), 8)
    assert manifest["data"]["pipeline"] == "synthetic" and manifest["data"]["train"] == 64


def test_the_loss_falls_and_the_end_is_measured(trained: Path) -> None:
    rows = read_journal(trained / "metrics.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 8 and losses[-1] < losses[0]
    assert [row["step"] for row in rows if "eval_loss" in row] == [8]


def test_mlflow_has_parameters_metrics_and_the_adapter(trained: Path, runs: Path) -> None:
    client = mlflow_client(runs)
    found = client.get_run(recall_run(trained))
    assert found.info.status == "FINISHED" and found.info.run_name == "first"
    assert found.data.params["lora.r"] == "16" and found.data.params["data.options.num_train"] == "64"
    journal = {row["step"]: row["loss"] for row in read_journal(trained / "metrics.jsonl") if "loss" in row}
    assert {m.step: m.value for m in client.get_metric_history(found.info.run_id, "loss")} == journal
    assert found.data.metrics["final_eval_loss"] > 0
    artifacts = {file.path for file in client.list_artifacts(found.info.run_id, "adapter")}
    assert {f"adapter/{name}" for name in ("adapter_model.safetensors", "t2s_adapter.json")} <= artifacts
    assert {"config.yaml", "env.json"} <= {file.path for file in client.list_artifacts(found.info.run_id)}


def test_an_evaluation_leaves_a_line_a_question_and_a_table(evaluated: Path, runs: Path) -> None:
    lines = [json.loads(line) for line in (evaluated / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 8 and len({line["id"] for line in lines}) == 8
    assert all(line[side]["outcome"] for line in lines for side in ("base", "tuned"))
    results = json.loads((evaluated / "evaluation.json").read_text())
    overall = results["table"][-1]
    assert (overall["category"], overall["n"], results["data"]["split"]) == ("overall", 8, "test")
    assert sum(results["outcomes"]["tuned"].values()) == 8
    assert "| overall | 8 |" in (evaluated / "report.md").read_text()
    assert mlflow_client(runs).get_run(recall_run(evaluated)).data.metrics["ex_tuned"] == 0


def test_a_version_is_promoted_by_a_test_or_by_force(
    trained: Path, evaluated: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = load([], overrides)
    version = register(config, trained, recall_run(trained))
    assert version == register(config, trained, recall_run(trained)), "the same adapter is one version"
    refused = promote(config, version.number, evaluated)
    assert not refused.promoted and refused.against == "the base model" and refused.p_value == 1
    assert run(["infer", "--question", "Who?", "--schema", SCHEMA, *overrides]) == 2  # nobody is champion yet
    assert "promote one" in capsys.readouterr().err
    assert promote(config, version.number, evaluated, force="a test").promoted
    champion = resolve_adapter(config, "champion")
    assert champion.version == str(version.number) and champion.run_id == recall_run(trained)
    assert run(["infer", "--question", "Who?", "--schema", SCHEMA, *overrides]) == 0
    assert f"adapter {version.number}" in capsys.readouterr().err


def test_infer_answers_a_question_the_examples_and_a_file(
    trained: Path, overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--adapter-path", str(trained / "adapter"), *overrides, "inference.grammar=wikisql"]
    common += ["inference.max_new_tokens=200"]
    assert run(["infer", "--question", "How many employees?", "--schema", SCHEMA, *common]) == 0
    answer = capsys.readouterr().out.strip()
    assert answer.startswith("SELECT ")
    assert run(["infer", "--examples", *common]) == 0
    assert capsys.readouterr().out.count("SELECT ") == 3
    questions = [{"question": f"Who is {n}?", "schema": SCHEMA, "n": n} for n in range(3)]
    questions[2]["question"] = "How many employees?"
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions))
    words = ["--input", str(tmp_path / "questions.jsonl"), "--output", str(tmp_path / "answers.jsonl")]
    assert run(["infer", *words, *common]) == 0
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["n"] for line in answers] == [0, 1, 2] and answers[2]["sql"] == answer
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["answers.jsonl", "questions.jsonl"]


def test_a_run_name_is_never_used_twice(trained: Path, overrides: list[str], runs: Path) -> None:
    before = {entry.name for entry in runs.iterdir()}
    for words in (["train"], ["search", "search.num_trials=1"], ["evaluate", "--adapter-path", "none"]):
        assert run([*words, "--name", "first", *overrides]) == 2
    assert {entry.name for entry in runs.iterdir()} == before


Refused = tuple[list[str], int, str]


@pytest.mark.parametrize("verb", [["train"], ["search"], ["evaluate", "--adapter-path", "none"]])
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["training.precision=bf16", "training.use_gpu=auto"], 4, "set training.precision=auto"),
        (["training.use_gpu=true"], 4, "set training.use_gpu=auto"),
        (["data.pipeline=no_rows:NoRows"], 3, "empty"),
        (["data.pipeline=synthetc"], 2, "did you mean 'synthetic'"),
        (["model.name=./nothing"], 2, "model.name"),
        (["lora.rank=3"], 2, "unknown key lora.rank"),
    ],
)
def test_a_refused_command_says_why_and_leaves_nothing(
    verb: list[str],
    words: list[str],
    code: int,
    message: str,
    tiny_overrides: Callable[[Path], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = "class NoRows:\n    def __init__(self, **_): pass\n    def prepare(self): return [], [], []\n"
    (tmp_path / "no_rows.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run([*verb, *tiny_overrides(tmp_path / "runs"), *words]) == code
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err and shown.out == ""
    assert not (tmp_path / "runs").exists()


def test_an_adapter_of_another_base_is_refused_before_anything_starts(
    trained: Path, overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_tiny_model(tmp_path / "other", seed=5)
    words = [*overrides, f"model.name={other}", f"output_dir={tmp_path / 'runs'}"]
    assert run(["evaluate", "--adapter-path", str(trained / "adapter"), *words]) == 2
    assert run(["infer", "--adapter-path", str(trained / "adapter"), "--examples", *words]) == 2
    assert capsys.readouterr().err.count("set model.name to the adapter's base") == 2
    assert not (tmp_path / "runs").exists()
