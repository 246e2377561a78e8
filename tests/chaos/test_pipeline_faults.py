"""SIGKILL of the whole-lifecycle job in each of its stages, each time the same command again; Ctrl-C; a second one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaos_rig import Bench, Command, Record, eval_loss, farthest, last_step, losses
from cluster_rig import Nodes, wait_until
from pipeline_rig import lifecycle, write_people

from t2s.cluster.nodes import free_port
from t2s.pipeline.state import FILE_NAME, State
from t2s.search.record import STUDY, Trial, read_trials
from t2s.serve.client import ask

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Outcome:
    """What a pipeline came to."""

    winner: int
    trials: list[tuple[Any, ...]]
    losses: dict[int, float]
    eval_loss: float
    answers: list[tuple[Any, ...]]
    decision: tuple[Any, ...]
    versions: list[str]
    runs: list[tuple[str, str]]


class Lifecycle:
    """A folder with a configuration and data, whose pipeline is ``p``."""

    def __init__(self, folder: Path, model: Path, cache: Path) -> None:
        self.bench = Bench(folder, model, cache)
        settings = lifecycle(model, write_people(folder / "people"), folder / "runs")
        self.bench.config.write_text(yaml.safe_dump(settings), "utf-8")
        self.runs = folder / "runs"

    def start(self, *words: str) -> Command:
        return self.bench.run("pipeline", "-c", str(self.bench.config), "--name", "p", *words)

    def state(self) -> State | None:
        return State.read(self.runs / "p") if (self.runs / "p" / FILE_NAME).is_file() else None

    def is_in(self, name: str) -> bool:
        """Whether the stage has begun, be it over by now."""
        state = self.state()
        return state is not None and state[name].state != "pending"

    def outcome(self) -> Outcome:
        state, train = self.state(), self.runs / "p-train"
        assert state is not None and state.is_finished
        judged = state["promote"].result
        return Outcome(
            winner=state["search"].result["best"],
            trials=[_told(trial) for trial in read_trials(self.runs / "p-search")],
            losses=losses(train),
            eval_loss=eval_loss(train),
            answers=_answers(self.runs / "p-evaluate"),
            decision=(judged["promoted"], judged["reason"], judged["version"], judged["champion"]),
            versions=_versions(self.runs),
            runs=_runs(self.runs),
        )


def _told(trial: Trial) -> tuple[Any, ...]:
    """Without what a clock says."""
    return trial.number, trial.setting, trial.state, [round(reached.metrics["eval_loss"], 6) for reached in trial.rungs]


def _answers(place: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (place / "predictions.jsonl").read_text("utf-8").splitlines()]
    return [(line["id"], line["base"]["sql"], line["tuned"]["sql"], line["tuned"]["ex"]) for line in lines]


def _client(runs: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")


def _versions(runs: Path) -> list[str]:
    """The run of each registered version: the search's winner, and the adapter of the training."""
    return sorted(each.tags["run_dir"] for each in _client(runs).search_model_versions("name = 't2s'"))


def _runs(runs: Path) -> list[tuple[str, str]]:
    client = _client(runs)
    experiment = client.get_experiment_by_name("t2s")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return sorted((each.info.run_name, each.info.status) for each in found)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, places: tuple[Path, Path]) -> Iterator[Outcome]:
    """The pipeline that nobody disturbed."""
    made = Lifecycle(tmp_path_factory.mktemp("calm"), *places)
    try:
        command = made.start()
        assert command.wait(1500) == 0, command.said()
        yield made.outcome()
    finally:
        made.bench.end()


@pytest.fixture
def disturbed(tmp_path: Path, places: tuple[Path, Path]) -> Iterator[Lifecycle]:
    made = Lifecycle(tmp_path / "d", *places)
    yield made
    made.bench.end()


def kill(command: Command) -> None:
    os.kill(command.process.pid, signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    assert command.left_over(180) == [], "Ray's processes outlived the command"


def check_same(found: Outcome, calm: Outcome) -> float:
    """The same results; returns the largest difference of losses."""
    difference = farthest(found.losses, calm.losses)
    assert difference <= 1e-6 and found.eval_loss == pytest.approx(calm.eval_loss, abs=1e-6)
    assert (found.winner, found.trials, found.answers) == (calm.winner, calm.trials, calm.answers)
    assert (found.decision, found.versions, found.runs) == (calm.decision, calm.versions, calm.runs)
    return difference


def rungs(runs: Path) -> int:
    place = runs / "p-search"
    is_there = (place / STUDY).is_file() and (place / "search.json").is_file()
    return sum(trial.rung for trial in read_trials(place)) if is_there else 0


def moments(made: Lifecycle) -> dict[str, Callable[[], bool]]:
    """When each stage is killed: somewhere in it, drawn anew each time."""
    step, rung = random.randint(1, 20), random.randint(0, 3)
    return {
        "search": lambda: made.is_in("search") and rungs(made.runs) >= rung,
        "train": lambda: last_step(made.runs / "p-train") >= step,
        "evaluate": lambda: made.is_in("evaluate"),
        "promote": lambda: made.is_in("promote"),
    }


def test_a_pipeline_killed_in_every_stage_ends_as_one_that_was_not(
    disturbed: Lifecycle, calm: Outcome, record_row: Record
) -> None:
    told, finished = [], {}
    for name, met in moments(disturbed).items():
        command = disturbed.start()
        command.wait_for(met)
        pause = random.uniform(0, {"evaluate": 8, "promote": 2}.get(name, 1))
        time.sleep(pause)
        kill(command)
        state = disturbed.state()
        assert state is not None
        for stage in state.stages:
            assert stage.name not in finished or stage == finished[stage.name], "a stage that was done changed"
        finished = {stage.name: stage for stage in state.stages if stage.state == "done"}
        told.append(f"{name} (+{pause:.1f} s, {len(finished)} stages done)")
    last = disturbed.start()
    assert last.wait(1500) == 0, last.said()
    difference = check_same(disturbed.outcome(), calm)
    state = disturbed.state()
    assert state is not None
    assert all(state[name] == stage for name, stage in finished.items())
    record_row(
        "SIGKILL of `t2s pipeline` in search, training, evaluation and promotion, each time the same command",
        "an undisturbed run's winner, losses, answers and decision; one version an adapter; nothing done twice",
        f"killed in {', '.join(told)}; largest difference of losses {difference:.1g}; "
        f"{len(calm.versions)} versions, {len(calm.runs)} MLflow runs as undisturbed; "
        f"sittings {', '.join(str(stage.sittings) for stage in state.stages)}",
    )


@pytest.mark.parametrize("attempt", range(3))
def test_a_pipeline_killed_at_any_time_goes_on(
    disturbed: Lifecycle, calm: Outcome, record_row: Record, attempt: int
) -> None:
    kills, seconds = 0, []
    while kills < 3:
        command = disturbed.start()
        pause = random.uniform(2, 60)
        try:
            code = command.wait(pause)
        except subprocess.TimeoutExpired:
            kill(command)
            kills += 1
            seconds.append(pause)
        else:
            assert code == 0, command.said()
            break
    command = disturbed.start()
    assert command.wait(1500) == 0, command.said()
    difference = check_same(disturbed.outcome(), calm)
    record_row(
        "SIGKILL of `t2s pipeline` at random times, each time the same command",
        "the results of an undisturbed run",
        f"killed after {', '.join(f'{each:.0f} s' for each in seconds)}; largest difference of losses {difference:.1g}",
    )


def test_ctrl_c_says_how_to_go_on_a_second_one_is_refused_and_so_are_other_settings(
    disturbed: Lifecycle, record_row: Record
) -> None:
    command = disturbed.start("--no-search")
    command.wait_for(lambda: last_step(disturbed.runs / "p-train") >= 5)
    second = disturbed.start("--no-search")
    assert second.wait() == 2 and f"process {command.process.pid} on " in " ".join(second.said().split())
    began = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does: to all that the command started
    code, seconds = command.wait(60), time.monotonic() - began
    left = command.left_over(2)
    assert code == 130 and seconds < 15 and left == [], (code, seconds, left, command.said())
    said = " ".join(command.said().split())
    assert "the pipeline goes on with: t2s pipeline --resume runs/p" in said and "Traceback" not in said

    changed = disturbed.start("--no-search", "lora.r=4")
    assert changed.wait() == 2 and "train was begun with other settings: lora.r 8 then, 4 now" in changed.said()

    resumed = disturbed.bench.run("pipeline", "--resume", "last", f"output_dir={disturbed.runs}")
    assert resumed.wait(1500) == 0, resumed.said()
    state = disturbed.state()
    assert state is not None and state.is_finished and not state.flags.search
    record_row(
        "Ctrl-C on a pipeline; a second process on it; other settings",
        "exit 130 with the next command; exit 2 naming the holder; exit 2 with the difference on one line",
        f"exit 130 in {seconds:.1f} s, no process left; both refused; resumed to its end",
    )


JOB = """
import sys
from t2s.cli.job_entry import run_job
sys.exit(run_job("pipeline", sys.argv[1:]))
"""


@pytest.fixture
def nodes(disturbed: Lifecycle) -> Iterator[Nodes]:
    """A cluster of two nodes, and the job's entry point."""
    made = Nodes(disturbed.bench.folder)
    (made.folder / "jobs").mkdir()
    (made.folder / "jobs" / "pipeline.py").write_text(JOB)
    made.up()
    yield made
    made.down()


def test_a_job_that_was_stopped_goes_on_under_its_id_and_its_endpoint_outlives_it(
    disturbed: Lifecycle, nodes: Nodes, record_row: Record
) -> None:
    port = free_port()
    words = ("submit", "pipeline", "--id", "p")
    asked = ("--", "-c", str(disturbed.bench.config), "--no-search", f"serve.port={port}")
    assert nodes.t2s(*words, "--no-wait", *asked).returncode == 0
    wait_until(lambda: last_step(disturbed.runs / "p-train") >= 5, 400)
    stopped = nodes.json("jobs", "stop", "p")
    assert stopped["state"] == "STOPPED"
    done = nodes.t2s(*words, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    state = disturbed.state()
    assert state is not None and state.is_finished and state["deploy"].state == "done"
    assert [stage.sittings for stage in state.stages] == [0, 2, 1, 1, 1]
    assert losses(disturbed.runs / "p-train").keys() == set(range(1, 25))
    url = state["deploy"].result["url"]
    answer = ask(url, "Give me what is in 70", schema="TABLE: people ( name (text), team (text) )")
    assert answer["adapter"]["version"] == state["promote"].result["champion"]
    again = nodes.t2s(*words, *asked)
    assert again.returncode == 0 and "nothing is left to do" in again.stderr
    record_row(
        "`t2s jobs stop` of a submitted pipeline in its training, then the same `t2s submit`",
        "goes on from the checkpoint; the endpoint answers when the job has ended",
        f"sittings 0, 2, 1, 1, 1; version {state['promote'].result['champion']} answers at {url} after the job",
    )
