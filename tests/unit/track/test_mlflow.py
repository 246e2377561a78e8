"""Against a real MLflow store on SQLite, and against servers that are away or silent."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from t2s.config import Config, load
from t2s.errors import ConfigError, DataError, SetupError
from t2s.track import (
    Journal,
    MlflowSink,
    Tracker,
    build_sink,
    recall_run,
    replay,
    tracking_uri,
    write_run_files,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load([], [f"output_dir={tmp_path_factory.mktemp('track')}"])


@pytest.fixture(scope="module")
def client(config: Config) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri(config))


@pytest.fixture
def dead_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound, not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """Nobody listens there yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as listening:  # accepts, never answers
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_run_has_params_parent_artifacts_and_an_end(config: Config, client: Any, tmp_path: Path) -> None:
    tracker = Tracker(config)
    parent = tracker.start_run("search", "search", {})
    child = tracker.start_run("trial", "trial", {"lora": {"r": 8}, "seed": 1}, parent=parent, tags={"a": "b"})
    (tmp_path / "report.txt").write_text("fine")
    tracker.log_artifacts(child, tmp_path, "report")
    tracker.log_metrics(child, {"ex": 0.5}, step=2)
    tracker.finish(child)
    run = client.get_run(child)
    assert run.data.params == {"lora.r": "8", "seed": "1"} and run.data.metrics == {"ex": 0.5}
    assert run.data.tags["mlflow.parentRunId"] == parent and run.data.tags["a"] == "b"
    assert run.info.status == "FINISHED" and run.info.artifact_uri.startswith(f"file://{config.output_dir}/mlartifacts")
    assert [f.path for f in client.list_artifacts(child, "report")] == ["report/report.txt"]


def test_a_keyed_run_is_taken_up_again_not_made_twice(config: Config) -> None:
    first = Tracker(config).start_run("trial", "trial", {"r": 8}, key="search-1/trial-3")
    again = Tracker(config).start_run("trial", "trial", {"r": 16}, key="search-1/trial-3")
    other = Tracker(config).start_run("trial", "trial", {"r": 8}, key="search-1/trial-4")
    assert first == again != other


def test_the_sink_delivers_everything_on_close(config: Config, client: Any) -> None:
    run_id = Tracker(config).start_run("train", "train", {})
    sink = build_sink("mlflow", tracking_uri(config), run_id)
    assert isinstance(sink, MlflowSink)
    for step in range(700):
        sink.log(step, {"loss": 1.0 / (step + 1), "lr": 1e-3})
    assert sink.close() == ""
    assert len(client.get_metric_history(run_id, "loss")) == 700


def test_replay_brings_mlflow_to_the_journal_and_twice_adds_nothing(
    config: Config, client: Any, tmp_path: Path
) -> None:
    write_run_files(tmp_path, config)
    with Journal(tmp_path / "metrics.jsonl") as journal:  # no sink: MLflow saw nothing
        for step in range(20):
            journal.log(step, {"loss": 1 / 3 / (step + 1), "norm": float("nan")})
    assert [replay(tmp_path, config), replay(tmp_path, config)] == [20, 0]
    run_id = recall_run(tmp_path)
    with Journal(tmp_path / "metrics.jsonl") as journal:
        journal.log(20, {"loss": 0.0})
    assert replay(tmp_path, config) == 1
    assert len(client.get_metric_history(run_id, "loss")) == 21


def test_replay_sends_a_value_as_often_as_the_journal_has_it(config: Config, client: Any, tmp_path: Path) -> None:
    """The last step's line, its validation and its summary all say the epoch; MLflow keeps one a millisecond."""
    write_run_files(tmp_path, config)
    lines = [{"step": 9, "time": at, "epoch": 6.0} for at in (1000.001, 1000.001, 1000.002, 1000.5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:3]))
    assert [replay(tmp_path, config), replay(tmp_path, config)] == [3, 0]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [replay(tmp_path, config), replay(tmp_path, config)] == [1, 0]
    found = client.get_metric_history(recall_run(tmp_path), "epoch")
    assert sorted(metric.timestamp for metric in found) == [1_000_001, 1_000_002, 1_000_003, 1_000_500]


def test_nothing_happens_with_report_to_none(tmp_path: Path) -> None:
    config = load([], [f"output_dir={tmp_path / 'runs'}", "training.report_to=none"])
    tracker = Tracker(config)
    assert tracker.start_run("train", "train", {}) is None
    tracker.log_metrics(None, {"a": 1.0})
    tracker.finish(None)
    assert not (tmp_path / "runs").exists() and build_sink("none", "", None) is None


def test_an_mlflow_that_is_away_is_said_once_and_stops_nothing(
    dead_port: int, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    config = load([], [f"tracking.uri=http://127.0.0.1:{dead_port}", f"output_dir={tmp_path}"])
    tracker = Tracker(config)
    with caplog.at_level(logging.WARNING):
        assert [tracker.start_run("a", "train", {}) for _ in range(2)] == [None, None]
    assert caplog.text.count("going on without") == 1
    with Journal(tmp_path / "metrics.jsonl") as journal:
        journal.log(1, {"loss": 1.0})
    with pytest.raises(SetupError, match=r"tracking\.uri"):
        replay(tmp_path, config)


class Answers(BaseHTTPRequestHandler):
    """Takes what MLflow's client sends to log metrics, and keeps it."""

    got: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got.extend(metric["step"] for metric in body["metrics"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows standard error."""


def test_a_server_that_comes_back_gets_every_value_once(free_port: int, request: pytest.FixtureRequest) -> None:
    sink = MlflowSink(f"http://127.0.0.1:{free_port}", "0" * 32)
    for step in range(20):
        sink.log(step, {"loss": 1.0})
    end = time.monotonic() + 60
    while not sink._error and time.monotonic() < end:
        time.sleep(0.01)
    assert sink._error and not sink._sent, "the server was never missed"
    server = ThreadingHTTPServer(("127.0.0.1", free_port), Answers)
    request.addfinalizer(server.server_close)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    request.addfinalizer(server.shutdown)
    for step in range(20, 1300):
        sink.log(step, {"loss": 1.0})
    assert sink.close() == "" and Answers.got == list(range(1300))


def test_a_replay_finishes_a_run_that_ended_while_mlflow_was_away(config: Config, client: Any, tmp_path: Path) -> None:
    write_run_files(tmp_path, config)
    with Journal(tmp_path / "metrics.jsonl") as journal:
        journal.log(1, {"loss": 0.5})
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "weights").write_text("w")
    (tmp_path / "result.json").write_text('{"metrics": {"eval_loss": 0.25}}')
    assert [replay(tmp_path, config), replay(tmp_path, config)] == [2, 0]
    run = client.get_run(recall_run(tmp_path))
    assert run.info.status == "FINISHED" and run.data.metrics == {"loss": 0.5, "final_eval_loss": 0.25}
    assert run.data.tags["t2s.kind"] == "train"
    assert [file.path for file in client.list_artifacts(run.info.run_id, "adapter")] == ["adapter/weights"]


def test_a_replay_refuses_a_deleted_run_a_held_one_and_values_that_are_no_numbers(
    config: Config, client: Any, tmp_path: Path
) -> None:
    write_run_files(tmp_path, config)
    journal = tmp_path / "metrics.jsonl"
    journal.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert replay(tmp_path, config) == 1
    code = f"from pathlib import Path; from t2s.track.lock import hold\nwith hold(Path({str(tmp_path)!r})): input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as holder:
        while not (tmp_path / "run.lock").exists() or not (tmp_path / "run.lock").read_text():
            time.sleep(0.01)
        with pytest.raises(ConfigError, match=str(holder.pid)):
            replay(tmp_path, config)
        holder.communicate(b"\n")
    client.delete_run(recall_run(tmp_path))
    with pytest.raises(SetupError, match="mlflow runs restore"):
        replay(tmp_path, config)
    client.restore_run(recall_run(tmp_path))
    journal.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": "low"}\n')
    with pytest.raises(DataError, match="line 2: loss is 'low'"):
        replay(tmp_path, config)


def test_a_key_with_a_quote_is_found_again(config: Config) -> None:
    found = {Tracker(config).start_run("trial", "trial", {"r": 8}, key="it's/here") for _ in range(2)}
    assert len(found) == 1


def test_a_silent_server_never_slows_a_step(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("t2s.track.sinks.CLOSE_TIMEOUT_S", 1.0)
    sink = MlflowSink(f"http://127.0.0.1:{silent_port}", "0" * 32)
    start = time.perf_counter()
    for step in range(1000):
        sink.log(step, {"loss": 1.0})
    assert time.perf_counter() - start < 10  # one call that waits takes minutes
    problem = sink.close()
    assert "misses 1000 of 1000" in problem and "t2s track replay" in problem
    assert sink.close() == ""  # said once
