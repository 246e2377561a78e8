"""Promise X11: secrets in the environment and in settings are in nothing that t2s writes or says.

Every canary is another text, so that a failure names which secret leaked where.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from tiny_model import save_tiny_model

from t2s.cli.main import run
from t2s.cli.submit import Job, _check
from t2s.config import Config, load
from t2s.doctor import run_checks
from t2s.errors import ConfigError, SetupError
from t2s.runtime import pin_paths
from t2s.track.files import remember_run, write_run_files
from t2s.track.replay import replay
from t2s.track.runs import Tracker
from t2s.track.sinks import MlflowSink
from t2s.train.harness import Alone
from t2s.train.launch import prepare_texts
from t2s.train.loop import train_here
from t2s.train.record import write_record

VARIABLES = (
    "HF_TOKEN", "WANDB_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "T2S_SERVE_TOKEN",
    "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "OPENAI_API_KEY",
)  # fmt: skip
CANARIES = {name: f"canary-{name.lower().replace('_', '-')}-9f3" for name in VARIABLES}
IN_SETTINGS = ("canary-in-the-uri", "canary-in-an-option")
URI = f"http://admin:{IN_SETTINGS[0]}@127.0.0.1:9/mlflow"
PIPELINE = """
from t2s.data.synthetic import SyntheticPipeline

class Pipeline(SyntheticPipeline):
    def __init__(self, password, cache_dir):
        super().__init__(num_train=64, num_val=16, num_test=16, cache_dir=cache_dir)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("canary_pipeline", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


@pytest.fixture
def settings(model: Path, tmp_path: Path) -> list[str]:
    """Settings of a tiny run with a password in an address and one in an option."""
    (tmp_path / "canary_pipeline.py").write_text(PIPELINE)
    return [
        f"model.name={model}",
        f"output_dir={tmp_path / 'runs'}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.pipeline=canary_pipeline:Pipeline",
        f"data.options.password={IN_SETTINGS[1]}",
        f"tracking.uri={URI}",
        "training.batch_size=8",
        "training.gradient_accumulation_steps=1",
        "training.max_steps=2",
        "training.logging_steps=1",
        "training.use_gpu=false",
        "lora.target_modules=all-linear",
    ]


def leaks(folder: Path, *said: str) -> list[str]:
    """(secret, where) of every canary in a file below ``folder``, in a file's name, or in what was said."""
    secrets = [*CANARIES.values(), *IN_SETTINGS]
    found = [f"{secret} in what was said" for secret in secrets for text in said if secret in text]
    for path in (each for each in folder.rglob("*") if each.is_file()):
        raw = path.read_bytes() + str(path).encode()
        found += [f"{secret} in {path}" for secret in secrets if secret.encode() in raw]
    return found


def with_sqlite(config: Config, folder: Path) -> Config:
    """The same settings, tracked in a file; what is written down of them still holds the password."""
    tracking = config.tracking.model_copy(update={"uri": f"sqlite:///{folder / 'mlflow.db'}"})
    return config.model_copy(update={"tracking": tracking})


def test_a_training_leaves_no_secret_in_its_directory_its_log_or_mlflow(
    settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    config = pin_paths(load([], settings))
    texts, about = prepare_texts(config)
    run_dir = tmp_path / "runs" / "run"
    run_dir.mkdir(parents=True)
    write_run_files(run_dir, config)
    write_record(run_dir, config, "examples", "base")
    remember_run(run_dir, "abc", URI)
    given = {"config": config, "texts": texts, "about": about, "run_dir": run_dir, "name": "k"}
    train_here(given | {"journal": None, "stop_board": None}, Alone())

    tracker = Tracker(with_sqlite(config, tmp_path / "runs"))
    run_id = tracker.start_run("run", "train", config.model_dump(mode="json"), key=str(run_dir))
    tracker.log_artifact(run_id, run_dir / "config.yaml")
    tracker.finish(run_id)
    assert run_id is not None and (tmp_path / "runs" / "mlflow.db").stat().st_size > 100_000

    Tracker(config).start_run("run", "train", {})  # MLflow is away
    sink = MlflowSink(URI, "abc")
    sink.log(1, {"loss": 1.0})
    told = sink.close()
    (run_dir / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    with pytest.raises(SetupError) as caught:
        replay(run_dir, config)
    assert "127.0.0.1:9" in told and "127.0.0.1:9" in str(caught.value)
    assert (run_dir / "adapter" / "t2s_adapter.json").is_file() and "password: '***'" in (
        run_dir / "config.yaml"
    ).read_text()
    assert leaks(tmp_path / "runs", caplog.text, told, str(caught.value), *capfd.readouterr()) == []


def test_the_doctor_says_no_secret(settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = {check.name: check for check in run_checks(pin_paths(load([], settings)))}
    assert checks["tracking"].state == "fail" and checks["secrets"].state == "warn"
    assert leaks(tmp_path / "runs", json.dumps([vars(check) for check in checks.values()])) == []


@pytest.mark.parametrize(
    "words",
    [
        ["config", "show"],
        ["config", "show", f"tracking.urii={URI}"],
        ["config", "show", f"tracking={URI}"],
        ["config", "show", f"training.epochs={URI}"],
        ["promote"],
        ["infer", "--question", "Who?", "--schema", "TABLE: t ( a (real) )"],
        ["track", "replay", "."],
        ["evaluate", "--split", URI],
        ["submit", "train", "--", f"tracking.uri={URI}"],
        ["submit", "train", "--", f"data.options.password={IN_SETTINGS[1]}"],
        ["train", "--no-such-option", URI],
    ],
)
def test_no_command_that_fails_says_a_secret(
    words: list[str], settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train.py").touch()
    given = [] if words[0] == "submit" else settings
    code = run([*words, *given])
    captured = capsys.readouterr()
    assert (code == 0) == (words == ["config", "show"]) and (captured.out or captured.err)
    assert leaks(tmp_path / "runs", captured.out, captured.err) == []


def test_a_jobs_description_holds_no_secret_and_none_can_be_put_there(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train.py").touch()
    job = Job("train", ["lora.r=8", "tracking.uri=http://mlflow:5000"], tmp_path)
    _check(job)
    assert leaks(tmp_path / "none", job.entrypoint, json.dumps(job.runtime_env("id"))) == []
    for word in (f"tracking.uri={URI}", f"data.options.token={IN_SETTINGS[1]}"):
        with pytest.raises(ConfigError, match="all who see the cluster's jobs") as caught:
            _check(Job("train", [word], tmp_path))
        assert leaks(tmp_path / "none", str(caught.value)) == []
    with pytest.raises(ConfigError, match="holds a password"):
        _check(Job("train", [], tmp_path, pip=[f"--index-url={URI}"]))


def test_the_traceback_of_a_bug_and_a_logged_one_hold_no_secret(tmp_path: Path) -> None:
    program = (
        "import logging, os\n"
        "from t2s.cli import main\n"
        "def boom(*_, **__):\n"
        f"    error = RuntimeError('cannot connect to {URI} with ' + os.environ['PGPASSWORD'])\n"
        "    logging.getLogger('third.party').error('it failed', exc_info=error)\n"
        "    raise error\n"
        "main.app = boom\n"
        "main.run([])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1 and done.stderr.count("RuntimeError: cannot connect to http://***@127.0.0.1:9") == 2
    assert "Traceback" in done.stderr and leaks(tmp_path, done.stdout, done.stderr) == []


@pytest.mark.chaos  # a local Ray with all its logs, about a minute
def test_a_training_on_ray_leaves_no_secret_in_rays_logs_either(settings: list[str], tmp_path: Path) -> None:
    program = "import sys; from t2s.cli.main import run; sys.exit(run(sys.argv[1:]))"
    with tempfile.TemporaryDirectory(prefix="t2s-", dir="/tmp") as short:  # Ray's sockets need a short path
        environment: dict[str, Any] = {**os.environ, "RAY_TMPDIR": short, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", program, "train", "--name", "k", *settings, "ray.num_cpus=2"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
        assert done.returncode == 0, done.stderr
        assert "MLflow at http://127.0.0.1:9" in done.stderr and "data.options.password=***" in done.stderr
        assert list(Path(short).rglob("*.log")) and leaks(Path(short)) == []
    assert leaks(tmp_path / "runs", done.stdout, done.stderr) == []
