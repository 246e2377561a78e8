"""A search in MLflow, on a real store: one run a trial, whatever was killed in between; away, it stops nothing."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from searched import make_search, play

from t2s.config import Config, load
from t2s.search.book import Book
from t2s.search.record import Trial
from t2s.search.tracking import SearchTracker
from t2s.track import recall_run, tracking_uri


@dataclass
class Result:
    """What a search left, as far as MLflow wants to know."""

    trials: list[Trial]
    best: Trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that share one MLflow file, which takes its seconds to be made."""
    return tmp_path_factory.mktemp("runs")


def told(book: Book, tracker: SearchTracker) -> None:
    """Report as the search does: each rung when it is reached, then the end."""
    for trial in book.trials():
        tracker.trial_rung(trial)
        if trial.state != "running":
            tracker.trial_ended(trial)


def finish(book: Book, tracker: SearchTracker) -> None:
    (book.search_dir / "best.yaml").write_text("lora: {r: 8}\n")
    book.write(best=4)
    tracker.finish("FINISHED", Result(book.trials(), book.trial(4)))


def runs_of(config: Config, search_dir: Path) -> tuple[Any, dict[str, Any], Any]:
    """The parent, the children by name, and the client."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(config))
    parent = client.get_run(recall_run(search_dir))
    found = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    children = {run.info.run_name: run for run in found}
    assert len(children) == len(found), "two runs of one trial"
    return parent, children, client


def test_a_search_is_a_parent_and_a_child_a_trial_with_its_rungs_as_steps(folder: Path) -> None:
    book = make_search(folder / "whole", error="the loss is no number")
    config = load([folder / "whole" / "config.yaml"])
    tracker = SearchTracker(config, book.search_dir)
    told(book, tracker)
    finish(book, tracker)
    parent, children, client = runs_of(config, book.search_dir)
    assert sorted(children) == [f"trial-{number}" for number in range(1, 7)]
    statuses = {name: (run.info.status, run.data.tags["t2s.state"]) for name, run in children.items()}
    assert statuses["trial-1"] == ("FINISHED", "finished")
    assert statuses["trial-2"] == ("FINISHED", "stopped") and children["trial-2"].data.tags["t2s.reason"] == "asha"
    assert statuses["trial-3"] == ("FAILED", "failed")
    assert children["trial-3"].data.tags["t2s.error"] == "the loss is no number"
    assert children["trial-1"].data.params == {key: str(value) for key, value in book.trial(1).setting.items()}
    history = client.get_metric_history(children["trial-1"].info.run_id, "eval_loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 1.01), (2, 0.51)]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_trial"] == 4 and parent.data.metrics["best_eval_loss"] == book.trial(4).loss
    assert parent.data.metrics["cost_examples"] == 704
    assert {"config.yaml", "search.json", "best.yaml"} <= {
        file.path for file in client.list_artifacts(parent.info.run_id)
    }


def test_a_search_that_was_killed_and_resumed_leaves_one_run_a_trial_and_each_rung_once(folder: Path) -> None:
    book = make_search(folder / "killed", num_trials=3)
    config = load([folder / "killed" / "config.yaml"])
    running = book.ask()
    book.rung(running.number, 1, 8, {"eval_loss": 0.9}, "host-0")
    first = SearchTracker(config, book.search_dir)
    told(book, first)
    first._thread.shutdown(wait=True)  # then the process dies: nothing is finished
    _, before, _ = runs_of(config, book.search_dir)
    assert before["trial-4"].info.status == "RUNNING"

    second = SearchTracker(config, book.search_dir)
    book.rung(running.number, 2, 16, {"eval_loss": 0.7}, "host-1")
    book.end(running.number, "finished")
    told(book, second)
    finish(book, second)
    parent, children, client = runs_of(config, book.search_dir)
    assert {name: run.info.run_id for name, run in children.items()} == {
        name: run.info.run_id for name, run in before.items()
    }
    assert {run.info.status for run in [parent, *children.values()]} == {"FINISHED", "FAILED"}
    for run in children.values():
        steps = [entry.step for entry in client.get_metric_history(run.info.run_id, "rung")]
        assert steps == sorted(set(steps))
    assert client.get_run(children["trial-4"].info.run_id).data.metrics["eval_loss"] == 0.7


def test_an_interrupted_search_leaves_no_run_open_and_a_trial_that_was_not_told_is_filled_in(folder: Path) -> None:
    book = make_search(folder / "stopped", num_trials=2)
    config = load([folder / "stopped" / "config.yaml"])
    tracker = SearchTracker(config, book.search_dir)
    book.ask()
    tracker.finish("KILLED")
    parent, children, _ = runs_of(config, book.search_dir)
    assert parent.info.status == "KILLED"
    assert {name: run.info.status for name, run in children.items()} == {
        "trial-1": "FINISHED", "trial-2": "FINISHED", "trial-3": "KILLED",
    }  # fmt: skip


def test_the_winners_adapter_is_an_artifact_and_the_challenger(folder: Path) -> None:
    from tiny_model import save_tiny_model

    from t2s.model.adapter import attach, read_manifest, save_adapter
    from t2s.model.load import load_base
    from t2s.registry import resolve_adapter

    base = save_tiny_model(folder / "base")
    words = [f"model.name={base}", "training.use_gpu=false", "quantization.load_in_4bit=false"]
    book = make_search(folder / "won", words, num_trials=4)
    config = load([folder / "won" / "config.yaml"])
    model, _, files = load_base(config, for_training=True)
    save_adapter(attach(model, config.lora), book.search_dir / "adapter", files, config.prompt, {"trial": 4})
    tracker = SearchTracker(config, book.search_dir)
    finish(book, tracker)
    found = resolve_adapter(config, "challenger")
    assert found.version == str(tracker.version) == "1" and found.run_id == tracker.run_id
    assert found.path is not None and read_manifest(found.path)["trial"] == 4
    again = SearchTracker(config, book.search_dir)
    finish(book, again)
    assert again.version == 1  # the same adapter is not added twice


@pytest.fixture
def dead_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound, not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_server_that_is_away_neither_stops_nor_delays_a_search(
    tmp_path: Path, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    book = make_search(tmp_path / "alone", [f"tracking.uri=http://127.0.0.1:{dead_port}"], num_trials=2)
    config = load([tmp_path / "alone" / "config.yaml"])
    with caplog.at_level(logging.WARNING):
        tracker = SearchTracker(config, book.search_dir)
        started = time.monotonic()
        for _ in range(3):
            play(book, config)
            told(book, tracker)
        finish_at = time.monotonic()
        (book.search_dir / "best.yaml").write_text("")
        tracker.finish("FINISHED", Result(book.trials(), book.trial(1)))
    assert finish_at - started < 10 and time.monotonic() - finish_at < 10
    assert tracker.run_id is None and tracker.version is None
    assert sum("going on without" in record.message for record in caplog.records) == 1


def test_a_server_that_goes_away_during_a_search_holds_up_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import t2s.search.tracking as tracking

    book = make_search(tmp_path / "slow", num_trials=2)
    config = load([tmp_path / "slow" / "config.yaml"])
    tracker = SearchTracker(config, book.search_dir)
    monkeypatch.setattr(tracking, "CLOSE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(tracker._tracker, "_attempt", lambda call: time.sleep(1.0))
    started = time.monotonic()
    told(book, tracker)
    assert time.monotonic() - started < 1.0  # not even for one of them
    tracker.finish("FINISHED", Result(book.trials(), book.trial(1)))
    assert time.monotonic() - started < 3


def test_without_mlflow_nothing_is_written(tmp_path: Path) -> None:
    book = make_search(tmp_path / "off", ["training.report_to=none"])
    tracker = SearchTracker(load([tmp_path / "off" / "config.yaml"]), book.search_dir)
    told(book, tracker)
    tracker.finish("FINISHED", Result(book.trials(), book.trial(1)))
    assert tracker.run_id is None and not (tmp_path / "mlflow.db").exists()
