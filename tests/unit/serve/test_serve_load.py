"""How many may wait, who waits for whom, and what Ray Serve is told; all without Ray's processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema
from serve_rig import SCHEMA, Rig
from starlette.exceptions import HTTPException

from t2s.cli.main import run
from t2s.config import Config, load
from t2s.errors import ConfigError, RunError
from t2s.generate import Generation, Request
from t2s.runtime import pin_paths
from t2s.serve.batcher import Batcher
from t2s.serve.deploy import differing, read_args, serve_config
from t2s.serve.engine import Question
from t2s.serve.http import LimitBody
from t2s.serve.options import ApiSettings, ModelSettings, api_options, model_options
from t2s.serve.replicas import Pulse, Replicas
from t2s.sql.schema import parse_schema

QUESTION = Question("q", parse_schema(SCHEMA))
TAKES_S = 0.05


class Batches:
    """What a batcher generates, each batch for 50 ms."""

    def __init__(self, max_size: int, wait_s: float) -> None:
        self.sizes: list[int] = []
        self.batcher = Batcher(self._generate, max_size, wait_s)

    def _generate(self, key: Hashable, requests: Sequence[Request]) -> list[Any]:
        self.sizes.append(len(requests))
        time.sleep(TAKES_S)
        return [(Generation("SELECT 1", "SELECT 1", 1, True), None) for _ in requests]

    async def ask(self) -> float:
        began = time.monotonic()
        await self.batcher.ask("k", Request("q", QUESTION.schema))
        return time.monotonic() - began


def test_one_caller_never_waits_for_others() -> None:
    async def ask_often() -> tuple[list[int], list[float]]:
        batches = Batches(8, 1.0)
        return batches.sizes, [await batches.ask() for _ in range(4)]

    sizes, seconds = asyncio.run(ask_often())
    assert sizes == [1, 1, 1, 1] and max(seconds) < 0.5  # not the second that a batch may wait


def test_callers_who_come_back_go_together_again() -> None:
    async def ask_often() -> list[int]:
        batches = Batches(8, 0.5)

        async def caller(number: int) -> None:
            for _ in range(6):
                await batches.ask()
                await asyncio.sleep(0.01 + 0.005 * number)  # on their way back

        first = asyncio.create_task(batches.ask())  # the model is at work when they come
        await asyncio.sleep(TAKES_S / 2)
        await asyncio.gather(first, *(caller(number) for number in range(4)))
        return batches.sizes

    assert asyncio.run(ask_often()) == [1, 4, 4, 4, 4, 4, 4]


def test_a_batch_does_not_wait_long_for_who_does_not_come_back() -> None:
    async def ask() -> float:
        batches = Batches(8, 0.1)
        await asyncio.gather(*(batches.ask() for _ in range(3)))
        return await batches.ask()

    assert TAKES_S + 0.08 < asyncio.run(ask()) < TAKES_S + 0.5


class Handle:
    """Stands where Ray Serve's handle stands; an answer comes when ``go`` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.write = self

    def remote(self, question: Question) -> Any:
        return self._answer()

    async def _answer(self) -> str:
        await self.go.wait()
        return "written"


def test_the_question_over_the_limit_is_refused_at_once_and_a_place_that_is_free_is_given_again() -> None:
    async def ask() -> None:
        handle = Handle()
        replicas = Replicas(handle, most=2)
        held = [asyncio.create_task(replicas.write(QUESTION)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as refused:
            await replicas.write(QUESTION)
        assert refused.value.status_code == 429 and refused.value.headers == {"Retry-After": "2"}
        replicas.most = 3  # as a changed user_config does
        held.append(asyncio.create_task(replicas.write(QUESTION)))
        await asyncio.sleep(0)
        handle.go.set()
        assert await asyncio.gather(*held) == ["written"] * 3
        assert await asyncio.gather(*(replicas.write(QUESTION) for _ in range(3))) == ["written"] * 3

    asyncio.run(ask())


def test_a_thread_that_is_stuck_is_told_from_one_that_works() -> None:
    go = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        pulse = Pulse(thread, limit_s=0.1)
        pulse.check()
        time.sleep(0.15)
        thread.submit(int).result()  # as below: what stood before it is done, however busy the machine is
        thread.submit(go.wait, 10)
        pulse.check()  # it was idle, and answered; now it is at something
        pulse.check()
        time.sleep(0.15)
        with pytest.raises(RunError, match=r"more than 0\.1 s"):
            pulse.check()
        go.set()
        thread.submit(int).result()
        pulse.check()


def test_a_body_that_drips_in_is_refused_after_its_time(rig: Rig) -> None:
    sent: list[Any] = []

    async def drip() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> float:
        began = time.monotonic()
        await LimitBody(rig.api, seconds=0.2)({"type": "http", "path": "/v1/sql"}, drip, send)
        return time.monotonic() - began

    assert asyncio.run(ask()) < 2
    assert sent[0]["status"] == 408 and b"did not come within 0.2 s" in sent[1]["body"]


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ([], 16),
        (["serve.num_replicas=3"], 48),
        (["serve.max_queued_requests=0"], 8),
        (["serve.max_queued_requests=5", "serve.max_batch_size=1"], 6),
        (["serve.max_queued_requests=-1"], None),
        (["serve.max_replicas=4"], 64),
    ],
)
def test_what_may_be_under_way_is_what_is_answered_and_what_waits(settings: list[str], most: int | None) -> None:
    config = load([], settings)
    assert config.serve.most_under_way == most
    assert api_options(config)["user_config"] == {"max_under_way": most}
    assert api_options(config)["max_ongoing_requests"] > (most or 1000)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["serve.min_replicas=2"], "goes with serve.max_replicas"),
        (["serve.min_replicas=3", "serve.max_replicas=2"], "is more than"),
        (["serve.num_replicas=2", "serve.max_replicas=4"], "set one of them"),
    ],
)
def test_numbers_of_replicas_that_do_not_go_together_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load([], settings)


def test_a_fixed_number_of_replicas_and_one_that_follows_the_load() -> None:
    assert model_options(load([], ["serve.num_replicas=3"]), 0)["num_replicas"] == 3
    options = model_options(load([], ["serve.max_replicas=4", "serve.max_batch_size=5"]), 1)
    follows = options["autoscaling_config"]
    assert (follows["min_replicas"], follows["max_replicas"], follows["target_ongoing_requests"]) == (1, 4, 5)
    assert "num_replicas" not in options and options["ray_actor_options"]["num_gpus"] == 1


@pytest.mark.parametrize("user_config", [{}, {"max_batch_size": 0}, {"max_batch_size": 8, "batch_wait_timeout": 1}])
def test_a_user_config_with_other_words_is_refused(user_config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(user_config)
    with pytest.raises(ValidationError):
        ApiSettings.model_validate(user_config)


SETTINGS = [
    "serve.port=8123", "serve.databases.firm=firm.db", "serve.adapter=none", "serve.max_replicas=3", "model.name=rules",
    "search.space.r=[4, 8]", "seed=7", "inference.grammar=select", "serve.max_queued_requests=4",
]  # fmt: skip


def test_a_serve_config_is_rays_schema_and_builds_the_same_configuration() -> None:
    config = pin_paths(load([], SETTINGS))
    written = yaml.safe_load(yaml.safe_dump(serve_config(config, "somewhere:load_generator")))
    schema = ServeDeploySchema.model_validate(written)
    application = schema.applications[0]
    assert read_args(application.args) == (config, "somewhere:load_generator")
    assert {each.name for each in application.deployments} == {"SQLModel", "Api"}
    assert schema.http_options.port == 8123 and schema.http_options.host == "127.0.0.1"
    assert differing(Config()) == {}


def test_a_serve_config_has_no_path_that_depends_on_where_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["serve.adapter=runs/a/adapter", "serve.adapters={b: runs/b/adapter, c: '3'}", "serve.token_file=tokens"]
    written = serve_config(load([], words))["applications"][0]["args"]["config"]
    assert written["serve"] == {
        "adapter": f"{tmp_path}/runs/a/adapter",
        "adapters": {"b": f"{tmp_path}/runs/b/adapter", "c": "3"},
        "token_file": f"{tmp_path}/tokens",
    }
    assert written["output_dir"] == f"{tmp_path}/runs"


def test_args_that_build_nothing_name_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="unknown file; known: config, generator"):
        read_args({"file": "x.yaml"})
    with pytest.raises(ConfigError, match=r"args\.config\.serve\.prt: Extra"):
        read_args({"config": {"serve": {"prt": 1}}})


def test_the_command_writes_a_serve_config_without_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T2S_SERVE_TOKEN", "a-token-of-enough-length")
    path = tmp_path / "serve.yaml"
    words = ["model.name=rules", "serve.adapter=none", "serve.host=0.0.0.0", f"output_dir={tmp_path}"]
    assert run(["serve", "--config-out", str(path), *words]) == 0
    assert "serve deploy" in capsys.readouterr().err
    text = path.read_text()
    assert "a-token" not in text and yaml.safe_load(text)["http_options"]["host"] == "0.0.0.0"
    monkeypatch.delenv("T2S_SERVE_TOKEN")
    assert run(["serve", "--config-out", str(path), *words]) == 2  # a public address without a token
    assert run(["serve", "--config-out", str(tmp_path / "no" / "x"), "serve.adapter=none"]) == 4
    assert run(["serve", "--config-out", str(path), "--stop"]) == 2


def test_there_is_nothing_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert run(["serve", "--stop", "--port", "8123", f"output_dir={tmp_path}"]) == 4
    said = capsys.readouterr().err
    assert "no t2s serve runs on port 8123" in said and said.count("\n") == 1
