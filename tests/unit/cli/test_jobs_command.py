"""``t2s submit`` and ``t2s jobs`` without a cluster: what is sent, what is decided, what is refused."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from t2s.cli import job_client
from t2s.cli.job_client import attempts, connect, exit_code, find_job, follow
from t2s.cli.job_entry import JOB, as_job, job_id, read_arguments, run_job, tracking_of
from t2s.cli.main import run
from t2s.cli.submit import Job, _settle, submit
from t2s.errors import ConfigError, RunError, SetupError
from t2s.track.lock import hold


@dataclass
class Status:
    """Ray's, which is a string with a question."""

    word: str

    def __str__(self) -> str:
        return self.word

    def is_terminal(self) -> bool:
        return self.word in ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass
class Info:
    submission_id: str | None
    status: Status
    entrypoint: str = "python jobs/train.py lora.r=8"
    start_time: int = 0
    driver_exit_code: int | None = None
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    end_time: int = 0


@dataclass
class Cluster:
    """The Jobs API with these jobs."""

    jobs: list[Info] = field(default_factory=list)

    def list_jobs(self) -> list[Info]:
        return self.jobs

    def get_job_info(self, job: str) -> Info:
        return next(each for each in self.jobs if each.submission_id == job)

    def get_address(self) -> str:
        return "http://127.0.0.1:1"


def settle(*jobs: Info) -> tuple[str | None, bool]:
    return _settle(Cluster(list(jobs)), Job("train", ["lora.r=8"]), "nightly")


def test_an_id_is_followed_left_alone_or_tried_again_by_what_became_of_it() -> None:
    assert settle() == ("nightly", True)
    assert settle(Info("nightly", Status("RUNNING"))) == ("nightly", False)
    assert settle(Info("nightly", Status("SUCCEEDED"))) == (None, False)
    assert settle(Info("nightly", Status("FAILED"))) == ("nightly.2", True)
    many = [Info(name, Status("STOPPED")) for name in ("nightly.10", "nightly", "nightly.2", "nightlyx.11")]
    assert settle(*many) == ("nightly.11", True)
    assert settle(Info("nightly", Status("SUCCEEDED"), "python jobs/train.py lora.r=4")) == ("nightly.2", True)
    with pytest.raises(ConfigError, match=r"nightly runs something else .*lora.r=4.*t2s jobs stop nightly"):
        settle(Info("nightly", Status("PENDING"), "python jobs/train.py lora.r=4"))


def test_a_job_is_found_by_its_id_its_attempt_or_not_with_a_near_one() -> None:
    there: Any = Cluster([Info("a.2", Status("FAILED")), Info("a", Status("FAILED")), Info(None, Status("RUNNING"))])
    assert find_job(there, "a").submission_id == "a.2" and find_job(there, "a.2").submission_id == "a.2"
    assert [job.submission_id for job in attempts(there.jobs[:2], "a")] == ["a", "a.2"]
    with pytest.raises(ConfigError, match=r"no job a.22 .*did you mean 'a.2'.*t2s jobs list"):
        find_job(there, "a.22")
    with pytest.raises(ConfigError, match="there are no jobs"):
        find_job(Cluster(), "a")


@pytest.mark.parametrize(
    ("state", "code", "expected"), [("SUCCEEDED", 0, 0), ("FAILED", 3, 3), ("FAILED", -9, 1), ("STOPPED", None, 130)]
)
def test_the_exit_code_of_a_job_is_the_commands(state: str, code: int | None, expected: int) -> None:
    assert exit_code(Cluster([Info("a", Status(state), driver_exit_code=code)]), "a") == expected


def test_what_is_shown_of_jobs_of_others_holds_no_secret_and_moves_no_cursor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "python x.py tracking.uri=http://u:canary@h --token=canary \x1b[2J"
    there = Cluster([Info("a", Status("FAILED"), command, message="http://u:canary@h refused")])
    monkeypatch.setattr(job_client, "connect", lambda address: there)
    for words in (["list"], ["list", "--json"], ["status", "a"], ["status", "a", "--json"]):
        assert run(["jobs", *words]) == 0
        said = capsys.readouterr().out
        assert "canary" not in said and "\x1b" not in said and "x.py" in said


def test_a_job_that_never_ran_says_why() -> None:
    gone = Cluster([Info("a", Status("FAILED"), message="no\nspace")])
    with pytest.raises(RunError, match="a failed before it ran: no space"):
        exit_code(gone, "a")


def test_what_pip_says_is_the_cause_and_not_that_a_job_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        "runtime_env setup failed: ...\nTraceback ...\nOutput of cmd[9]: ERROR: Invalid requirement: './x'\nHint: ..."
    )
    gone = Cluster([Info("a", Status("FAILED"), message=message)])
    monkeypatch.setattr(job_client, "_print_log", lambda client, job: asyncio.sleep(0))
    with pytest.raises(RunError, match=r"^a failed before it ran: pip: Invalid requirement: './x'$"):
        follow(gone, "a")


def test_a_directory_with_a_package_is_found_where_ray_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "code.py").write_text("a = 1")
    job = Job("train", (), tmp_path, pip=["./own", "polars>=1"])
    first, polars = job.runtime_env("x")["pip"]
    assert first.startswith("${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/own # ") and polars == "polars>=1"
    (tmp_path / "own" / "code.py").write_text("a = 2")
    assert job.runtime_env("x")["pip"][0] != first, "Ray would give the job the environment with the old code"
    for package, said in (("./nowhere", "no such file"), ("../own", "no such file"), (".", "lies outside")):
        with pytest.raises(ConfigError, match=f"--pip {re.escape(package)}: {said}"):
            submit(Job("train", (), tmp_path, pip=[package]), None)


def test_what_ray_is_told_of_a_job() -> None:
    job = Job("train", ["a b"], Path("here"), pip=["polars==1.0"])
    told = job.runtime_env("x")
    assert job.entrypoint == "python jobs/train.py 'a b'" and told["pip"] == ["polars==1.0"]
    assert told["working_dir"] == str(Path("here").resolve()) and "runs" in told["excludes"]
    assert told["env_vars"][JOB] == "x" and told["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    packed = Job("train", ["lora.r=8"], image="registry/t2s:1")
    assert packed.entrypoint == "python -m t2s.cli.job_entry train lora.r=8"
    from ray.runtime_env import RuntimeEnv

    RuntimeEnv(**packed.runtime_env("x"))  # refuses what does not go together with an image


def test_what_cannot_be_is_refused_before_a_cluster_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train.py").touch()
    (tmp_path / "jobs" / "pipeline.py").touch()
    for job, said in (
        (Job("trian", (), tmp_path), "did you mean 'train'"),
        (Job("pipelin", (), tmp_path), "did you mean 'pipeline'"),
        (Job("serve", (), tmp_path), "holds no jobs/serve.py.*--working-dir"),
        (Job("train", (), tmp_path, "a/b"), "--id a/b: letters, digits"),
        (Job("train", (), tmp_path, image="i", pip=["p"]), "do not go together"),
    ):
        with pytest.raises(ConfigError, match=said):
            submit(job, "http://127.0.0.1:9")
    with pytest.raises(SetupError, match="t2s cluster up prints it"):
        submit(Job("train", (), tmp_path), None)
    with pytest.raises(SetupError, match="dashboard's address"):
        connect("127.0.0.1:6379")
    with pytest.raises(SetupError, match="no Ray cluster answers there"):
        connect("http://127.0.0.1:9")


def test_a_job_names_its_run_and_goes_on_with_it_once_it_is_there(tmp_path: Path) -> None:
    place = f"output_dir={tmp_path}"
    assert as_job("train", [place, "--lr", "1e-3"], {JOB: "n"}) == [place, "--lr", "1e-3", "--name", "n"]
    assert as_job("train", ["--name", "own", place], {JOB: "n"}) == ["--name", "own", place]
    for name in ("n", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    assert as_job("train", [place], {JOB: "n"}) == [place, "--resume", str(tmp_path / "n")]
    assert as_job("train", ["--name", "own", place], {JOB: "n"}) == [place, "--resume", str(tmp_path / "own")]
    assert as_job("train", ["--name=own", place], {JOB: "n"}) == [place, "--resume", str(tmp_path / "own")]
    assert as_job("search", [place], {JOB: "n"}) == [place, "--name", "n"], "a training is no search"
    assert as_job("train", ["--resume", "x", place], {JOB: "n"}) == ["--resume", "x", place]
    assert as_job("evaluate", [place], {JOB: "n"}) == [place]
    assert as_job("train", ["lora.rr=8"], {JOB: "n"}) == ["lora.rr=8"], "the command itself says what is wrong"
    assert as_job("pipeline", [place], {JOB: "n"}) == [place, "--name", "n"], "it goes on by its name"
    assert as_job("nothing", ["x"], {JOB: "n"}) == ["x"]


def test_results_never_stay_in_the_directory_that_goes_with_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = as_job("train", [], {JOB: "n", "T2S_ROOT": str(tmp_path)})
    assert told == [f"output_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/runs/cache", "--name", "n"]
    environment = {JOB: "n", "T2S_ROOT": str(tmp_path)}
    told = as_job("evaluate", ["output_dir=/disk/runs"], environment)
    assert told == ["output_dir=/disk/runs", f"data.cache_dir={tmp_path}/runs/cache"], "the data lies there"
    monkeypatch.setenv("HOME", "/home/me")
    told = as_job("train", ["output_dir=~/runs", "data.cache_dir=~/c"], environment)
    assert told == ["output_dir=~/runs", "data.cache_dir=~/c", "--name", "n"], (
        "a home is no part of the job's directory"
    )
    monkeypatch.setenv(JOB, "n")
    monkeypatch.delenv("T2S_ROOT", raising=False)
    assert run_job("train", []) == 2
    assert "output_dir=runs is in the job's own directory" in capsys.readouterr().err


def test_a_job_that_was_submitted_by_hand_loses_its_results_as_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``ray job submit -- python jobs/train.py``, as each of these files says, wrote them into the job's own copy."""
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
    from ray.dashboard.modules.job.common import JOB_ID_METADATA_KEY

    told = {RAY_JOB_CONFIG_JSON_ENV_VAR: json.dumps({"metadata": {JOB_ID_METADATA_KEY: "raysubmit_1"}})}
    assert job_id(told) == "raysubmit_1" and job_id({**told, JOB: "nightly"}) == "nightly"
    assert job_id({}) is None and job_id({RAY_JOB_CONFIG_JSON_ENV_VAR: "{}"}) is None
    monkeypatch.delenv(JOB, raising=False)
    monkeypatch.delenv("T2S_ROOT", raising=False)
    monkeypatch.setenv(*next(iter(told.items())))
    monkeypatch.chdir(tmp_path)
    assert run_job("train", []) == 2
    assert "output_dir=runs is in the job's own directory" in capsys.readouterr().err


def test_the_commands_own_reader_reads_a_jobs_arguments(tmp_path: Path) -> None:
    given = read_arguments("train", ["-c", "a.yaml", "lora.r=8", "--name=x", "--epochs", "2"])
    assert (given["config"], given["overrides"], given["name"]) == ([Path("a.yaml")], ["lora.r=8"], "x")
    assert read_arguments("train", ["--epochz", "2"]).get("name") is None and read_arguments("nothing", []) == {}
    (tmp_path / "a.yaml").write_text("tracking: {uri: 'https://me:secret@mlflow:5000', experiment: e}\n")
    assert tracking_of("train", ["-c", "a.yaml"], tmp_path) == ("https://mlflow:5000", "e")
    assert tracking_of("train", [], tmp_path) is None and tracking_of("train", ["-c", "absent.yaml"], tmp_path) is None


def test_a_run_locked_on_another_machine_is_taken_over_by_the_same_job_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"pid": 1, "host": "a-pod-that-is-gone", "started": 1, "since": "then", "job": "nightly"}
    (tmp_path / "run.lock").write_text(json.dumps(held))
    for job in (None, "another"):
        monkeypatch.delenv(JOB, raising=False) if job is None else monkeypatch.setenv(JOB, job)
        with pytest.raises(ConfigError, match="a-pod-that-is-gone"), hold(tmp_path):
            pass
    monkeypatch.setenv(JOB, "nightly")
    with hold(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["job"] == "nightly"
