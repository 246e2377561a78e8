"""SIGKILL of a search, of its slot hosts and of its trials; Ctrl-C; what a resumed search may not do."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from chaos_rig import Bench, Command, Record

from t2s.search.record import STUDY, Trial, read_trials

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

TRIALS, ENDS = 6, [8.0, 32.0, 96.0]
"""``ENDS``: examples of a trial at the end of each rung."""
SEARCH = [
    "training.num_workers=1", "training.batch_size=8", "training.gradient_accumulation_steps=1",
    f"search.num_trials={TRIALS}", f"search.rungs={len(ENDS)}", "search.max_train_samples=96",
    "search.max_val_samples=16", "search.ex_samples=16", "search.slots=1", "search.hosts=2", "search.space.r=[4, 8]",
    "lora.r=8", "lora.alpha=16", "search.scheduler=asha",
]  # fmt: skip


def start(bench: Bench, *words: str) -> Command:
    return bench.run("search", "-c", str(bench.config), *SEARCH, *words)


def trials_of(search_dir: Path) -> list[Trial]:
    return read_trials(search_dir) if (search_dir / STUDY).is_file() and (search_dir / "search.json").is_file() else []


def rungs_of(search_dir: Path) -> int:
    return sum(trial.rung for trial in trials_of(search_dir))


def processes_of(command: Command, kind: str) -> list[psutil.Process]:
    """Ray names a worker's process after what it runs."""
    return [process for process in command.processes() if kind in " ".join(_line(process))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def check_whole(search_dir: Path) -> list[Trial]:
    """All trials ended, numbered 1 to n, each rung once and in order, each with its own share of examples."""
    trials = read_trials(search_dir)
    assert [trial.number for trial in trials] == list(range(1, TRIALS + 1))
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    for trial in trials:
        assert [each.rung for each in trial.rungs] == list(range(1, trial.rung + 1))
        assert [each.metrics["examples"] for each in trial.rungs] == ENDS[: trial.rung]
    assert (search_dir / "adapter" / "manifest.json").is_file() or list((search_dir / "adapter").iterdir())
    return trials


def mlflow_children(runs: Path) -> list[tuple[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("t2s")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return sorted((run.info.run_name, run.info.status) for run in found if "mlflow.parentRunId" in run.data.tags)


def test_a_search_killed_at_random_loses_and_repeats_nothing(bench: Bench, record_row: Record) -> None:
    search_dir = bench.runs / "s"
    command = start(bench, "--name", "s", "training.report_to=mlflow")
    kept: list[Trial] = []
    told = []
    for goal in sorted(random.sample(range(1, TRIALS + 3), 2)):
        command.wait_for(lambda goal=goal: rungs_of(search_dir) >= goal)  # type: ignore[misc]
        os.kill(command.process.pid, signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
        assert command.left_over(180) == [], "Ray's processes outlived the command"
        trials = read_trials(search_dir)
        assert all(trials[before.number - 1] == before for before in kept), "a finished trial was run again"
        kept = [trial for trial in trials if trial.state != "running"]
        told.append(f"{len(kept)} ended, {len(trials) - len(kept)} running")
        command = start(bench, "--resume", "s", "training.report_to=mlflow")
    assert command.wait() == 0, command.said()
    trials = check_whole(search_dir)
    assert all(trials[before.number - 1] == before for before in kept), "a finished trial was run again"
    assert len({tuple(trial.setting.values()) for trial in trials}) == TRIALS, "a point was drawn again"
    wanted = sorted((f"trial-{number}", "FINISHED") for number in range(1, TRIALS + 1))
    assert mlflow_children(bench.runs) == wanted
    record_row(
        "SIGKILL of `t2s search` twice at random times, each time `--resume`",
        "no finished trial lost or run again, numbers 1 to n, one MLflow run a trial, running trials from their rung",
        f"killed with {' and with '.join(told)}; {TRIALS} trials, each rung once, {TRIALS} MLflow children, finished",
    )


def test_a_killed_slot_host_costs_its_trials_one_rung_at_most(bench: Bench, record_row: Record) -> None:
    search_dir = bench.runs / "s"
    command = start(bench, "--name", "s", "training.report_to=none")
    command.wait_for(lambda: rungs_of(search_dir) >= 2)
    hosts = processes_of(command, "SlotHost")
    assert len(hosts) == 2
    hosts[0].kill()
    began = time.monotonic()
    assert command.wait() == 0, command.said()
    check_whole(search_dir)
    record_row(
        "SIGKILL of one of two slot hosts",
        "its trials go on from their last rung; the search ends as if nothing had happened",
        f"all {TRIALS} trials whole, no rung twice, {time.monotonic() - began:.0f} s after the kill",
    )


def test_a_killed_trial_goes_on_in_a_new_process(bench: Bench, record_row: Record) -> None:
    search_dir = bench.runs / "s"
    command = start(bench, "--name", "s", "training.report_to=none")
    command.wait_for(lambda: rungs_of(search_dir) >= 1 and bool(processes_of(command, "ImplicitFunc")))
    processes_of(command, "ImplicitFunc")[0].kill()
    assert command.wait() == 0, command.said()
    check_whole(search_dir)
    record_row(
        "SIGKILL of a trial's process",
        "its slot is freed or taken over, the trial goes on under its number",
        f"all {TRIALS} trials whole, no rung twice",
    )


def test_ctrl_c_says_how_to_go_on_and_another_space_is_refused(bench: Bench, record_row: Record) -> None:
    search_dir = bench.runs / "s"
    command = start(bench, "--name", "s", "training.report_to=none")
    command.wait_for(lambda: rungs_of(search_dir) >= 2)
    second = start(bench, "--resume", "s")
    assert second.wait() == 2 and f"process {command.process.pid} on " in " ".join(second.said().split())
    began = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does: to all that the command started
    code, seconds = command.wait(60), time.monotonic() - began
    left = command.left_over(2)
    assert code == 130 and seconds < 15 and left == [], (code, seconds, left, command.said())
    assert f"t2s search --resume {search_dir.relative_to(bench.folder)}" in " ".join(command.said().split())
    assert "Traceback" not in command.said()
    before = {trial.number: trial for trial in read_trials(search_dir) if trial.state != "running"}

    changed = start(bench, "--resume", "s", "search.space.r=[2, 4]", "ray.worker_cpus=0.5")
    assert changed.wait() == 2
    assert "[4, 8] then, [2, 4] now" in changed.said() and "worker_cpus" not in changed.said()

    resumed = bench.run("search", "--resume", "runs/s", f"output_dir={bench.runs}")
    assert resumed.wait() == 0, resumed.said()
    trials = check_whole(search_dir)
    assert all(trials[number - 1] == trial for number, trial in before.items())
    record_row(
        "Ctrl-C on a search; a second process on it; another space",
        "exit 130 with the next command, resumable; exit 2 naming the holder; exit 2 with the difference",
        f"exit 130 in {seconds:.1f} s, no process left; both refused; resumed to {TRIALS} whole trials",
    )
