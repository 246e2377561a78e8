"""What ``t2s promote`` refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.cli import promote
from t2s.cli.main import run
from t2s.config import Config, load
from t2s.runtime import pin_paths
from t2s.track.files import write_run_files


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        (["1", "2"], 2, "one version"),
        (["none"], 2, "bare base"),
        (["--max-p", "0"], 2, "above 0"),
        (["--min-gain", "nan"], 2, "0 to 100"),
        (["--force", " "], 2, "reason"),
        (["--rollback", "3"], 2, "takes no version"),
        (["--evaluation", "absent"], 3, "t2s evaluate"),
        (["--evaluation", "absent", "--max-samples", "3"], 2, "--evaluation and --max-samples do not go together"),
        (["--force", "why", "--max-samples", "3"], 2, "--force and --max-samples do not go together"),
        (["--rollback", "--max-samples", "3"], 2, "--rollback and --max-samples do not go together"),
        (["./absent"], 2, "no such directory"),
        (["1", "lora.rr=1"], 2, "did you mean 'r'"),
    ],
)
def test_bad_input_is_one_line_and_its_code(
    arguments: list[str],
    expected: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["promote", *arguments]) == expected
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_promote_and_json_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--promote", "--json"]) == 2
    assert "t2s promote" in capsys.readouterr().err


def test_what_a_training_promotes_reaches_its_registry_with_the_password_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own settings have none: hours of training ended in a 401."""
    monkeypatch.chdir(tmp_path)
    asked: list[Config] = []
    monkeypatch.setattr(promote, "promote_verb", lambda config, *rest: asked.append(config) or 0)
    words = ["tracking.uri=http://me:canary@mlflow:5000", "data.options={api_key: canary}", "lora.r=4"]
    trained = pin_paths(load([], words))
    write_run_files(tmp_path, trained.model_copy(update={"lora": trained.lora.model_copy(update={"r": 8})}))
    for given in (load([], words), load([], ["tracking.uri=http://me:other@elsewhere", "data.pipeline=synthetic"])):
        promote.promote_run(tmp_path, given)
    assert (asked[0].tracking, asked[0].data, asked[0].lora.r) == (trained.tracking, trained.data, 8)
    assert asked[1].tracking.uri == "http://mlflow:5000" and asked[1].data.options == {"api_key": "***"}
