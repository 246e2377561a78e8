"""``t2s pipeline`` before anything is started, and as a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.cli.job_entry import JOB, as_job
from t2s.cli.main import run
from t2s.cluster.nodes import ROOT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "evalute"], "--from evalute: expected one of search, train"),
        (["--from", "deploy", "--no-deploy"], "--from deploy and --no-deploy do not go together"),
        (["--resume", "nothing"], "--resume nothing: no pipeline of that name"),
        (["--resume", "last"], "no unfinished pipeline"),
        (["--name", "a/b", "model.name=./absent"], "'a/b' is not a run name"),
        (["--name", "", "model.name=./absent"], "'' is not a run name"),
        (["--max-samples", "0"], "--max-samples"),
        (["lora.rr=1"], "did you mean 'r'"),
    ],
)
def test_what_cannot_be_is_one_message_and_exit_2_and_leaves_nothing(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["pipeline", *words]) == 2
    told = capsys.readouterr().err
    assert said in " ".join(told.split()) and "Traceback" not in told
    assert not (tmp_path / "runs").exists()


def test_a_job_names_its_pipeline_so_that_the_same_job_goes_on_with_it() -> None:
    job = {JOB: "nightly", ROOT: "/shared"}
    told = as_job("pipeline", ["lora.r=8"], job)
    assert told[0] == "lora.r=8" and told[-2:] == ["--name", "nightly"] and "output_dir=/shared/runs" in told
    assert as_job("pipeline", ["--name", "mine"], job).count("--name") == 1
    assert "--name" not in as_job("pipeline", ["--resume", "mine"], job)
