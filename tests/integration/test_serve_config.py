"""The endpoint as a Serve config file, deployed as by `serve deploy`: what changes in place, and how it is stopped."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray._private.worker import get_dashboard_url
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

from t2s.cli.main import run
from t2s.config import load
from t2s.runtime import pin_paths, ray_session
from t2s.serve import ask
from t2s.serve.deploy import write_serve_config

SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"
SLEEPS_S = 0.5


class Deployed:
    """A file that is deployed, and what Ray says of it."""

    def __init__(self, url: str, written: dict[str, Any]) -> None:
        self.url, self.written = url, written
        self._client = ServeSubmissionClient(f"http://{get_dashboard_url()}")

    def deploy(self, changed: dict[str, Any]) -> None:
        """What ``serve deploy`` sends; returns when the endpoint runs as the file says."""
        self.send(changed)
        wait_until(lambda: self.application()["status"] == "RUNNING")

    def send(self, changed: dict[str, Any]) -> None:
        """The same, without waiting for what becomes of it."""
        self._client.deploy_applications(changed)

    def replicas(self) -> dict[str, list[tuple[str, int]]]:
        """The actor and the process of each copy that runs, by deployment."""
        return {
            name: [(each["actor_id"], each["pid"]) for each in found["replicas"] if each["state"] == "RUNNING"]
            for name, found in self.application()["deployments"].items()
        }

    def user_config(self, deployment: str) -> dict[str, Any]:
        """What it was told last."""
        found = self.application()["deployments"][deployment]["deployment_config"]["user_config"]
        return dict(found)

    def seconds_of(self, number: int) -> tuple[float, list[int]]:
        """How long ``number`` questions take that are asked together, and their statuses."""
        with ThreadPoolExecutor(number) as pool:
            began = time.monotonic()
            codes = list(pool.map(lambda _: self._post().status_code, range(number)))
        return time.monotonic() - began, codes

    def _post(self) -> httpx.Response:
        body = {"question": "sleep", "schema": SCHEMA}
        return httpx.post(f"{self.url}/v1/sql", json=body, timeout=60, trust_env=False)

    def application(self) -> dict[str, Any]:
        return dict(self._client.get_serve_details()["applications"]["t2s"])


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("declared")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = [f"output_dir={folder}", f"serve.port={port}", "serve.adapter=none", "model.name=rules"]
    config = pin_paths(load([], [*settings, "serve.max_batch_size=1", "serve.max_queued_requests=5"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where Ray's processes find the engine
        patch.delenv("T2S_SERVE_TOKEN", raising=False)
        write_serve_config(config, folder / "serve.yaml", "rule_based:load_generator")
        with ray_session(load([], ["ray.num_cpus=2", f"output_dir={folder}"])):
            yield Deployed(f"http://127.0.0.1:{port}", yaml.safe_load((folder / "serve.yaml").read_text()))


def test_a_changed_user_config_is_taken_in_place(deployed: Deployed) -> None:
    deployed.deploy(deployed.written)
    assert ask(deployed.url, "highest salary?", schema=SCHEMA)["sql"] == "SELECT MAX(salary) FROM employees"
    seconds, codes = deployed.seconds_of(6)
    assert codes == [200] * 6 and seconds > 6 * SLEEPS_S  # one after the other
    before = deployed.replicas()

    changed = copy.deepcopy(deployed.written)
    model, api = changed["applications"][0]["deployments"]
    model["user_config"]["max_batch_size"], model["max_ongoing_requests"] = 5, 10
    api["user_config"]["max_under_way"] = 2
    deployed.deploy(changed)
    wait_until(lambda: deployed.user_config("Api") == {"max_under_way": 2})
    wait_until(lambda: sorted(deployed.seconds_of(6)[1]) == [200, 200, 429, 429, 429, 429])
    api["user_config"]["max_under_way"] = None
    deployed.deploy(changed)
    wait_until(lambda: deployed.seconds_of(1)[1] == [200] and deployed.user_config("Api") == {"max_under_way": None})
    seconds, codes = deployed.seconds_of(6)
    assert codes == [200] * 6 and seconds < 5 * SLEEPS_S  # at most one alone, and five together
    assert deployed.replicas() == before and [len(each) for each in before.values()] == [1, 1]


def test_what_builds_the_application_and_is_wrong_is_said_in_its_status(deployed: Deployed) -> None:
    broken = copy.deepcopy(deployed.written)
    broken["applications"][0]["args"]["config"]["serve"]["prt"] = 1
    deployed.send(broken)
    wait_until(lambda: deployed.application()["status"] == "DEPLOY_FAILED")
    assert "args.config.serve.prt: Extra inputs" in deployed.application()["message"]
    deployed.deploy(deployed.written)


def test_the_endpoint_of_a_cluster_is_stopped_by_the_command(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, deployed.url, "hold 2", schema=SCHEMA)
        time.sleep(1)
        assert run(["serve", "--stop", "ray.address=auto"]) == 0
        assert held.result()["verdict"] == "not_executed"
    assert "stopped the endpoint" in capsys.readouterr().err
    assert run(["serve", "--stop", "ray.address=auto"]) == 4
    assert "no endpoint of t2s is deployed on the Ray at auto" in capsys.readouterr().err
