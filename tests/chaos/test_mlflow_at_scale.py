"""MLflow as a team runs it: PostgreSQL, an S3 behind the server, accounts, allowed hosts; and a search from two nodes.

Needs Debian's `postgresql` (15 or newer); everything else comes with `pip install -e '.[dev]'`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaos_rig import settings
from cluster_rig import T2S, Nodes
from conftest import Record
from mlflow_rig import ACCOUNT, BUCKET, PASSWORD, Bucket, Postgres, Process, mlflow_server, postgres_programs
from mlflow_writer import METRICS

from t2s.model.adapter import weights_hash

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not here: apt-get install postgresql"),
]

WRITER = Path(__file__).resolve().parents[1] / "mlflow_writer.py"
WRITERS, RUNS, BATCHES = 6, 4, 10
SEARCH = [
    "search.num_trials=4", "search.rungs=2", "search.max_train_samples=32", "search.max_val_samples=8",
    "search.ex_samples=8", "search.space.r=[2, 4]", "search.space.alpha_over_r=[1.0, 2.0]", "lora.r=4", "lora.alpha=8",
    "search.hosts=2", "search.slots=1", "search.finalists=1", "search.sampler=random", "training.report_to=mlflow",
    "training.save_steps=null",
]  # fmt: skip


@dataclass
class Team:
    """The three servers, and the folder of their logs."""

    folder: Path
    postgres: Postgres
    bucket: Bucket
    url: str

    def client(self, url: str = "") -> Any:
        from mlflow import MlflowClient

        return MlflowClient(url or self.url, url or self.url)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The servers; this process and what it starts have an account of MLflow's and no key of the bucket's."""
    folder = tmp_path_factory.mktemp("team")
    started: list[Postgres | Bucket | Process] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_", "PG"))]:
            patch.delenv(name)
        for name, value in ACCOUNT.items():
            patch.setenv(name, value)
        try:
            postgres = Postgres()
            started.append(postgres)
            postgres.start()
            bucket = Bucket(folder)
            started.append(bucket)
            url, server = mlflow_server(folder, postgres, bucket)
            started.append(server)
            yield Team(folder, postgres, bucket, url)
        finally:
            for each in reversed(started):
                each.stop()


@pytest.fixture(scope="module")
def searched(team: Team, places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a search whose two hosts were on two nodes of a cluster."""
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    config = nodes.folder / "tiny.yaml"
    wanted = settings(places[0], nodes.folder / "runs", places[1])
    del wanted["ray"], wanted["training"]["num_workers"]
    config.write_text(yaml.safe_dump(wanted | {"tracking": {"uri": team.url}}), "utf-8")
    try:
        nodes.up()
        words = ["search", "--name", "team", "-c", str(config), f"ray.address={nodes.here.address}", *SEARCH]
        done = subprocess.run(
            [T2S, *words], env=nodes.environment(), cwd=nodes.folder, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        nodes.down()
    return nodes.folder / "runs" / "team"


def status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_name_that_is_not_allowed_and_a_client_without_an_account_get_nothing(team: Team) -> None:
    page = f"{team.url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(page, Host="evil.example:5000") == 403
    assert status(page) == 401
    assert status(f"{team.url}/health", Host="10.0.0.7:5000") == 200, "Kubernetes asks by the pod's address"
    assert len(team.client().search_experiments()) >= 1


def test_all_trials_of_a_search_are_children_and_its_winner_is_challenger(team: Team, searched: Path) -> None:
    client = team.client()
    search = json.loads((searched / "search.json").read_text())
    run_id = json.loads((searched / "tracking.json").read_text())["run_id"]
    experiment = client.get_run(run_id).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == len(search["trials"]) == 4
    losses = {f"trial-{trial['number']}": trial["loss"] for trial in search["trials"] if trial["loss"] is not None}
    assert {run.info.run_name: run.data.metrics["eval_loss"] for run in children if run.data.metrics} == losses
    assert client.get_run(run_id).info.status == "FINISHED"
    version = client.get_model_version_by_alias("t2s", "challenger")
    assert version.run_id == run_id


def test_artifacts_go_through_the_server_and_come_back_as_they_went(team: Team, searched: Path, tmp_path: Path) -> None:
    client = team.client()
    version = client.get_model_version_by_alias("t2s", "challenger")
    artifacts = client.get_run(version.run_id).info.artifact_uri
    assert artifacts.startswith("mlflow-artifacts:"), "a client needs no key of the bucket's"
    path = version.source.removeprefix(f"runs:/{version.run_id}/")
    copy = Path(client.download_artifacts(version.run_id, path, str(tmp_path)))
    assert weights_hash(copy) == weights_hash(searched / "adapter")
    assert any(key.endswith("adapter_model.safetensors") for key in team.bucket.objects())


def test_writers_at_once_lose_nothing(team: Team, record_row: Record) -> None:
    client = team.client()
    experiment = client.create_experiment("writers")
    words = [sys.executable, str(WRITER), team.url, experiment, str(RUNS), str(BATCHES)]
    writers = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(WRITERS)
    ]
    seconds = list[float]()
    for writer in writers:
        out, err = writer.communicate(timeout=900)
        assert writer.returncode == 0, err
        seconds += json.loads(out.splitlines()[-1])  # MLflow prints a link to each run
    runs = client.search_runs([experiment], max_results=1000)
    assert len(runs) == WRITERS * RUNS and {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert len(run.data.metrics) == METRICS
        assert [each.step for each in client.get_metric_history(run.info.run_id, "m7")] == list(range(BATCHES))
    assert sum(key.endswith("/name.txt") for key in team.bucket.objects()) == len(runs)
    middle, worst = statistics.median(seconds), max(seconds)
    record_row(
        f"{WRITERS} processes write to one MLflow server (PostgreSQL, S3)",
        "nothing fails, nothing is missing",
        f"{len(runs)} runs, {len(runs) * METRICS * BATCHES:,} metrics; a log_batch of {METRICS} takes "
        f"{middle * 1000:.0f} ms, at most {worst * 1000:.0f} ms",
    )


def test_a_restored_backup_has_the_runs_the_accounts_and_the_artifacts(
    team: Team, searched: Path, tmp_path: Path
) -> None:
    """The commands of docs/mlflow.md: the database first, so that the bucket's copy has all that it names."""
    team.postgres.run("pg_dump", "--format=custom", "--file", tmp_path / "mlflow.dump", "mlflow")
    team.bucket.client.create_bucket(Bucket="copy")
    for key in team.bucket.objects():
        team.bucket.client.copy({"Bucket": BUCKET, "Key": key}, "copy", key)

    team.postgres.run("createdb", "restored")
    team.postgres.run("pg_restore", "--exit-on-error", "--dbname", "restored", tmp_path / "mlflow.dump")
    upgrade = f"postgresql+psycopg2://mlflow@127.0.0.1:{team.postgres.port}/restored"
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", upgrade],
        env=os.environ | {"PGPASSWORD": PASSWORD}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    url, server = mlflow_server(team.folder, team.postgres, team.bucket, "restored", "copy")
    try:
        before, after = team.client(), team.client(url)
        version = after.get_model_version_by_alias("t2s", "challenger")
        assert version.run_id == before.get_model_version_by_alias("t2s", "challenger").run_id
        path = version.source.removeprefix(f"runs:/{version.run_id}/")
        copy = Path(after.download_artifacts(version.run_id, path, str(tmp_path)))
        assert weights_hash(copy) == weights_hash(searched / "adapter")
        experiments = [each.experiment_id for each in after.search_experiments()]
        assert len(after.search_runs(experiments, max_results=1000)) == len(
            before.search_runs(experiments, max_results=1000)
        )
    finally:
        server.stop()
