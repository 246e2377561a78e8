from __future__ import annotations

import json
from pathlib import Path

import pytest

from t2s.config import Config, load
from t2s.errors import ConfigError
from t2s.track import new_run_dir, recall_run, remember_run, write_run_files


def test_two_runs_of_the_same_second_get_two_directories(tmp_path: Path) -> None:
    made = {new_run_dir(tmp_path / "runs", "train") for _ in range(5)}
    assert len(made) == 5 and all(path.name.startswith("train-") for path in made)


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    path = new_run_dir(tmp_path, "train", "mine")
    assert new_run_dir(tmp_path, "train", "mine") == path  # still empty
    (path / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="never overwritten"):
        new_run_dir(tmp_path, "train", "mine")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", ".."])
def test_a_run_name_stays_below_the_output_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="run name"):
        new_run_dir(tmp_path, "train", name)


def test_an_output_directory_that_is_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ConfigError, match="output_dir"):
        new_run_dir(tmp_path / "runs", "train")


def test_the_written_config_resolves_to_the_same_one(tmp_path: Path) -> None:
    config = load([], ["lora.r=8", "seed=3"])
    write_run_files(tmp_path, config)
    assert load([tmp_path / "config.yaml"]) == config
    assert "ray" in json.loads((tmp_path / "env.json").read_text())["packages"]


def test_no_secret_reaches_a_run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-token")
    config = load([], ["tracking.uri=http://user:canary-password@mlflow:5000/x"])
    write_run_files(tmp_path, config)
    remember_run(tmp_path, "abc", str(config.tracking.uri))
    assert not [f.name for f in tmp_path.iterdir() if "canary" in f.read_text()]
    assert load([tmp_path / "config.yaml"]).tracking.uri == "http://mlflow:5000/x"


def test_a_run_id_is_remembered_beside_the_run(tmp_path: Path) -> None:
    assert recall_run(tmp_path) is None
    remember_run(tmp_path, None, "sqlite:///x.db")
    assert recall_run(tmp_path) is None
    remember_run(tmp_path, "abc", "sqlite:///x.db")
    assert recall_run(tmp_path) == "abc"
    assert Config().tracking.uri is None
