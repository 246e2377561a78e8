"""MLflow that is away, dies, comes back, or takes five seconds for each answer; and what a replay can meet.

The server is MLflow's own, on loopback; the slow one is the same behind a proxy that holds every answer back.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chaos_rig import Bench, Command, eval_loss, last_step, losses, rows
from conftest import Record

from t2s.config import Config, load
from t2s.runtime import ray_session
from t2s.track.files import write_run_files
from t2s.track.journal import finite_metrics

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

DELAY_S = 5.0
ALONE = ("training.num_workers=1", "training.batch_size=8", "training.epochs=6")
"""One worker, 96 steps: the fewer processes, the steadier the time of a step."""


class Server:
    """An MLflow server on a port of its own, which can be killed and started again on the same store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                 "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
                 "--artifacts-destination", str(self.folder / "artifacts")],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 200
        while not self.answers():
            assert self._process.poll() is None and time.monotonic() < end, (self.folder / "mlflow.log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL to the server and its workers, which are a session of their own."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def counts(self, run_dir: Path) -> Counter[str]:
        """Values of each metric of the journal that MLflow has."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        run_id = json.loads((run_dir / "tracking.json").read_text())["run_id"]
        names = {name for name in client.get_run(run_id).data.metrics if not name.startswith("final_")}
        return Counter({name: len(client.get_metric_history(run_id, name)) for name in names})


class SlowProxy:
    """Passes bytes on, and holds the first ones of every answer back for ``DELAY_S``."""

    def __init__(self, target: int) -> None:
        self.port, self._target, self.answers = free_port(), target, 0
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            asked = threading.Event()
            for pair in ((client, server, asked.set), (server, client, lambda asked=asked: self._hold(asked))):
                threading.Thread(target=_pump, args=pair, daemon=True).start()

    def _hold(self, asked: threading.Event) -> None:
        if asked.is_set():
            asked.clear()
            self.answers += 1
            time.sleep(DELAY_S)


def _pump(source: socket.socket, target: socket.socket, before: Callable[[], None]) -> None:
    with closing(source), closing(target):
        try:
            while data := source.recv(1 << 16):
                before()
                target.sendall(data)
        except OSError:
            return


def free_port() -> int:
    """Below the ephemeral ports, above Ray's."""
    for port in range(20000 + int(time.time() * 1000) % 10000, 32767):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no free port")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.kill()


def train(bench: Bench, name: str, *more: str) -> Command:
    return bench.train("--name", name, *ALONE, *more)


def finished(command: Command) -> Command:
    assert command.wait() == 0, command.said()
    return command


def wanted(run_dir: Path) -> Counter[str]:
    """How many values of each metric the journal has."""
    return Counter(name for row in rows(run_dir) for name in finite_metrics(row))


def replay(bench: Bench, run_dir: Path, uri: str) -> int:
    """``t2s track replay RUN``; the values that it sent."""
    command = finished(bench.run("track", "replay", str(run_dir), f"tracking.uri={uri}"))
    return int(next(line for line in command.said().splitlines() if line.endswith(" values sent")).split()[0])


def is_like(run_dir: Path, calm: Path) -> bool:
    """The same steps, losses and number of lines."""
    return losses(run_dir) == losses(calm) and eval_loss(run_dir) == eval_loss(calm) and len(losses(run_dir)) == 96


class Rotating:
    """A journal for the training loop that is another actor at each step, and notes when it was called."""

    def __init__(self, journals: dict[str, Any]) -> None:
        self.journals = journals
        self.at: dict[str, list[float]] = {name: [] for name in journals}
        self._last: tuple[str, float] | None = None
        self.begin, self.log = next(iter(journals.values())).begin, self

    def remote(self, step: int, metrics: dict[str, float]) -> Any:
        now, name = time.perf_counter(), list(self.journals)[step % len(self.journals)]
        if self._last is not None and "loss" in metrics:  # from one step's line to the next one's
            self.at[self._last[0]].append(now - self._last[1])
        self._last = (name, now) if "loss" in metrics else None
        return self.journals[name].log.remote(step, metrics)


@pytest.fixture
def local_ray(bench: Bench) -> Iterator[Config]:
    """The settings of one training in this process, and a Ray; it reads its own settings when it is first imported."""
    config = load([bench.config], [*ALONE, "training.epochs=20", "training.save_steps=1000", "ray.num_cpus=1"])
    with ray_session(config):
        yield config


def test_a_step_takes_as_long_whatever_mlflow_does(local_ray: Config, tmp_path: Path, record_row: Record) -> None:
    from t2s.train.harness import Alone
    from t2s.train.journal_actor import start_journal
    from t2s.train.launch import prepare_texts
    from t2s.train.loop import train_here
    from t2s.train.record import write_record

    texts, about = prepare_texts(local_ray)
    run_dir = tmp_path / "here"
    run_dir.mkdir()
    write_run_files(run_dir, local_ray)
    write_record(run_dir, local_ray, "examples", "base")
    silent = socket.create_server(("127.0.0.1", free_port()))  # takes requests and never answers them
    uris = {
        "none": "",
        "away": f"http://127.0.0.1:{free_port()}",
        "slow": f"http://127.0.0.1:{silent.getsockname()[1]}",
    }
    actors = {
        name: start_journal(
            run_dir / name / "metrics.jsonl", report_to="mlflow" if uri else "none", uri=uri, run_id="0" * 32
        )
        for name, uri in uris.items()
    }
    journals = Rotating(actors)
    given = {"config": local_ray, "texts": texts, "about": about, "run_dir": run_dir, "name": "k"}
    with closing(silent):
        train_here(given | {"journal": journals, "stop_board": None}, Alone())
    assert min(map(len, journals.at.values())) > 90
    times = {name: statistics.median(found) for name, found in journals.at.items()}
    ratios = {name: times[name] / times["none"] for name in ("away", "slow")}
    assert max(ratios.values()) <= 1.10, times
    record_row(
        "MLflow away, or silent: each takes the journal of every third step of one training",
        "a step's time within 10% of the steps without MLflow",
        f"median step {1000 * times['none']:.0f} ms without; {ratios['away']:.3f}× away, {ratios['slow']:.3f}× silent",
    )


def test_an_mlflow_that_is_away_dies_or_is_slow_costs_no_step(bench: Bench, server: Server, record_row: Record) -> None:
    runs = bench.runs
    finished(train(bench, "calm"))

    away = finished(train(bench, "away", "training.report_to=mlflow", f"tracking.uri={server.uri}"))
    assert away.said().count("going on without") == 1 and "Traceback" not in away.said()

    server.start()
    proxy = SlowProxy(server.port)
    slow = f"tracking.uri=http://127.0.0.1:{proxy.port}"
    finished(train(bench, "slow", "training.report_to=mlflow", slow))
    assert proxy.answers >= 2, "the run never met the slow server"  # a quick run is over after two answers
    proxy.close()

    dying = train(bench, "dying", "training.report_to=mlflow", f"tracking.uri={server.uri}")
    dying.wait_for(lambda: last_step(runs / "dying") >= 20)
    server.kill()
    finished(dying)
    assert "t2s track replay" in " ".join(dying.said().split())

    server.start()
    sent = {}
    for name in ("away", "slow", "dying"):
        assert is_like(runs / name, runs / "calm")
        sent[name] = [replay(bench, runs / name, server.uri), replay(bench, runs / name, server.uri)]
        assert server.counts(runs / name) == wanted(runs / name), name
        assert sent[name][1] == 0
    assert sent["away"][0] >= sum(wanted(runs / "away").values()) and sent["dying"][0] > 0
    whole = sum(wanted(runs / "calm").values())
    for name, fault in (
        ("away", "MLflow down at the start"),
        ("dying", "MLflow killed mid-run (SIGKILL)"),
        ("slow", f"MLflow answers after {DELAY_S:g} s"),
    ):
        record_row(
            fault,
            "same loss, journal complete; replay brings MLflow to the same counts, twice adds nothing",
            f"96 equal losses; of {whole} values the replay sent {sent[name][0]}, the second replay 0",
        )


def test_a_server_that_returns_gets_everything_without_a_replay(
    bench: Bench, server: Server, record_row: Record
) -> None:
    run_dir = bench.runs / "k"
    server.start()
    command = train(bench, "k", "training.report_to=mlflow", f"tracking.uri={server.uri}", "training.epochs=30")
    command.wait_for(lambda: last_step(run_dir) >= 20)
    server.kill()
    killed_at = last_step(run_dir)
    command.wait_for(lambda: last_step(run_dir) >= killed_at + 40)
    server.start()
    returned_at = last_step(run_dir)
    assert returned_at < 480, "the run ended before the server was back"
    finished(command)
    assert server.counts(run_dir) == wanted(run_dir) and "misses" not in command.said()
    assert replay(bench, run_dir, server.uri) == 0
    record_row(
        "MLflow killed mid-run, and back before its end",
        "what it missed arrives without a replay",
        f"away from step {killed_at} to {returned_at}; all {sum(wanted(run_dir).values())} values there at the end",
    )


def test_a_replay_meets_a_deleted_run_a_broken_journal_and_no_server(
    bench: Bench, server: Server, record_row: Record
) -> None:
    from mlflow import MlflowClient

    run_dir = bench.runs / "k"
    (run_dir).mkdir(parents=True)
    lines = [json.dumps({"step": step, "time": 1.0, "loss": 1 / (step + 1)}) for step in range(30)]
    (run_dir / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 30, "lo')
    setting = f"tracking.uri={server.uri}"
    refused: list[tuple[int, str]] = []

    def refuses(code: int, *, says: str) -> None:
        command = bench.run("track", "replay", str(run_dir), setting)
        assert command.wait() == code, command.said()
        said = " ".join(command.said().split())
        assert says in said and "Traceback" not in said, said
        refused.append((code, says))

    refuses(4, says="did not make a run; is the server up? see tracking.uri")
    server.start()
    assert [replay(bench, run_dir, server.uri) for _ in range(2)] == [30, 0]
    client = MlflowClient(tracking_uri=server.uri)
    run_id = json.loads((run_dir / "tracking.json").read_text())["run_id"]
    client.delete_run(run_id)
    refuses(4, says=f"mlflow runs restore --run-id {run_id}")
    client.restore_run(run_id)
    (run_dir / "metrics.jsonl").write_text("\n".join([*lines[:3], '{"step": 3, "lo', *lines[4:]]) + "\n")
    refuses(3, says="metrics.jsonl, line 4: not JSON")
    (run_dir / "metrics.jsonl").write_text("\n".join([*lines[:3], '{"step": 3, "loss": "low"}']) + "\n")
    refuses(3, says="line 4: loss is 'low', expected a number or null")
    shutil.rmtree(run_dir)
    refuses(3, says="cannot be read as a journal")
    record_row(
        "replay: server away; run deleted in MLflow; half-written or broken journal; no journal",
        "one line that names the place and the cure; a torn last line is left out",
        f"exit {', '.join(str(code) for code, _ in refused)}; 30 whole lines of 31 sent",
    )
