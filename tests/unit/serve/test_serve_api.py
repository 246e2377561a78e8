"""The routes over ASGI: what is asked, what is answered, what is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from serve_rig import SCHEMA, Rig
from starlette.exceptions import HTTPException

from t2s.errors import RunError
from t2s.generate import Generation
from t2s.serve.engine import Question, Written
from t2s.serve.in_process import InProcess
from t2s.serve.service import RETRY

ON_FIRM = {"database": "firm", "table": "employees"}


def test_an_answer_says_who_wrote_it_how_and_how_long_it_took(rig: Rig) -> None:
    answer = rig.post("/v1/sql", {"question": "everybody", **ON_FIRM}).json()
    assert (answer["verdict"], answer["columns"], len(answer["rows"]), answer["truncated"]) == (
        "ok",
        ["name", "salary"],
        5,
        True,
    )
    assert answer["adapter"] == {"version": "7", "run_id": "run7"} and answer["regime"] == "greedy, grammar none"
    assert answer["timing_ms"]["total"] >= answer["timing_ms"]["generate"] > 0


@pytest.mark.parametrize(
    ("regime", "decoded", "name"),
    [
        ("configured", "", "greedy, grammar none"),
        ("unconstrained", " -- none 1", "greedy, grammar none"),
        ("grammar", " -- select 1", "greedy, grammar select/3"),
        ("guided", " -- select 3", "execution-guided (3 beam), grammar select/3"),
    ],
)
def test_a_regime_is_chosen_per_request_and_named(rig: Rig, regime: str, decoded: str, name: str) -> None:
    answer = rig.post("/v1/sql", {"question": "x", "schema": SCHEMA, "regime": regime}).json()
    assert (answer["sql"], answer["regime"]) == (f"SELECT max(salary) FROM employees{decoded}", name)


@pytest.mark.parametrize(("adapter", "status"), [("7", 200), ("champion", 200), ("8", 404)])
def test_another_adapter_is_refused_and_never_taken_instead(rig: Rig, adapter: str, status: int) -> None:
    response = rig.post("/v1/sql", {"question": "x", "schema": SCHEMA, "adapter": adapter})
    assert response.status_code == status and (status == 200 or "serving: 7 = champion" in response.json()["error"])


def test_a_batch_answers_each_question_in_its_place(rig: Rig) -> None:
    asks = [
        {"question": "everybody", **ON_FIRM},
        {"question": "impossible", "schema": SCHEMA},
        {"question": "x", "database": "frm"},
        {"question": "garbage", **ON_FIRM},
    ]
    answers = rig.post("/v1/sql/batch", {"questions": asks}).json()["answers"]
    assert [each.get("status", each.get("verdict")) for each in answers] == ["ok", 422, 404, "invalid_sql"]
    assert "did you mean 'firm'" in answers[2]["error"]


@pytest.mark.parametrize("count", [0, 65])
def test_a_batch_has_a_length(rig: Rig, count: int) -> None:
    response = rig.post("/v1/sql/batch", {"questions": [{"question": "x", "schema": SCHEMA}] * count})
    assert response.status_code == 422 and "\n" not in response.json()["error"]


class Counting(InProcess):
    now = most = 0

    async def write(self, question: Question) -> Written:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().write(question)
        finally:
            self.now -= 1


def test_a_batch_alone_cannot_fill_the_queue(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "serve.max_batch_size=2")
    rig.service._model = model = Counting(rig.engine)
    response = rig.post("/v1/sql/batch", {"questions": [{"question": "x", "schema": SCHEMA}] * 20})
    assert len(response.json()["answers"]) == 20 and model.most == rig.service.config.serve.at_once == 2


class Full(InProcess):
    async def write(self, question: Question) -> Written:
        raise HTTPException(429, "too many questions are waiting", RETRY)


@pytest.mark.parametrize("path", ["/v1/sql", "/v1/sql/batch"])
def test_a_full_queue_is_429_with_a_time_to_come_back(tmp_path: Path, path: str) -> None:
    rig = Rig(tmp_path)
    rig.service._model = Full(rig.engine)
    ask = {"question": "x", "schema": SCHEMA}
    response = rig.post(path, {"questions": [ask, ask]} if path.endswith("batch") else ask)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")


def test_what_takes_too_long_is_504_and_its_place_is_freed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "serve.request_timeout_s=0.3")
    response = rig.post("/v1/sql", {"question": "slow", "schema": SCHEMA})
    assert response.status_code == 504 and "serve.request_timeout_s" in response.json()["error"]
    assert rig.rules.stopped.wait(5)


def test_a_timeout_that_is_not_the_requests_own_is_a_bug_and_no_504(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(question: Any) -> None:
        raise TimeoutError("a socket, say")

    monkeypatch.setattr(rig.service._model, "write", fails)
    assert rig.post("/v1/sql", {"question": "x", "schema": SCHEMA}).status_code == 500


@pytest.mark.parametrize("number", [0, 2])
def test_an_engine_that_gives_too_few_answers_or_too_many_gives_nobody_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    rig = Rig(tmp_path, "serve.request_timeout_s=5")
    answer = Generation("SELECT 1", "SELECT 1", 1, True)
    monkeypatch.setattr(rig.rules, "generate", lambda requests: [answer] * number)
    assert rig.post("/v1/sql", {"question": "x", "schema": SCHEMA}).status_code == 500


def test_a_caller_that_goes_away_frees_its_place(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def leave() -> None:
        async with rig.client() as client:
            task = asyncio.create_task(client.post("/v1/sql", json={"question": "slow", "schema": SCHEMA}))
            await asyncio.to_thread(rig.rules.slow.wait, 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await asyncio.to_thread(rig.rules.stopped.wait, 5)
            assert (await client.post("/v1/sql", json={"question": "x", "schema": SCHEMA})).status_code == 200

    asyncio.run(leave())


def test_who_leaves_the_queue_is_never_generated(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "serve.max_batch_size=1")

    async def leave() -> None:
        async with rig.client() as client:
            first = asyncio.create_task(client.post("/v1/sql", json={"question": "slow", "schema": SCHEMA}))
            await asyncio.to_thread(rig.rules.slow.wait, 5)
            second = asyncio.create_task(client.post("/v1/sql", json={"question": "waiting", "schema": SCHEMA}))
            while len(rig.engine.batcher._queue) < 1:
                await asyncio.sleep(0.01)
            for task in (second, first):
                task.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            assert (await client.post("/v1/sql", json={"question": "last", "schema": SCHEMA})).status_code == 200

    asyncio.run(leave())
    assert rig.rules.batches == [["slow"], ["last"]]


def test_a_question_beyond_the_models_context_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with Rig(tmp_path).client() as client:
            bodies = [{"question": word, "schema": SCHEMA} for word in ("endless", "salary")]
            one = await client.post("/v1/sql", json=bodies[0])
            return one, await client.post("/v1/sql/batch", json={"questions": bodies})

    one, both = asyncio.run(ask())
    assert (one.status_code, one.json()) == (422, {"error": "the prompt has 9000 tokens"})
    refused, answered = both.json()["answers"]
    assert refused["error"] == "the prompt has 9000 tokens" and answered["verdict"] == "not_executed"


def test_an_engine_that_only_fails_is_reported_and_one_that_answers_between_is_not(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    def ask(*words: str) -> list[int]:
        return [rig.post("/v1/sql", {"question": word, "schema": SCHEMA}).status_code for word in words]

    assert ask("bug", "bug", "salary", "bug", "impossible", "bug", "bug") == [500, 500, 200, 500, 422, 500, 500]
    rig.engine.check_health()
    assert ask("bug") == [500]
    with pytest.raises(RunError, match="failed 3 times in a row"):
        rig.engine.check_health()


def test_draining_finishes_what_is_under_way_and_refuses_the_rest(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def drain() -> list[int]:
        async with rig.client() as client:
            held = asyncio.create_task(client.post("/v1/sql", json={"question": "slow", "schema": SCHEMA}))
            await asyncio.to_thread(rig.rules.slow.wait, 5)
            drained = asyncio.create_task(rig.service.drain())
            await asyncio.sleep(0)
            refused = await client.post("/v1/sql", json={"question": "x", "schema": SCHEMA})
            health = await client.get("/healthz")
            assert not drained.done() and "stopping" in refused.json()["error"]
            await asyncio.gather(held, drained)
            return [refused.status_code, health.status_code, held.result().status_code]

    assert asyncio.run(drain()) == [503, 200, 200]


def test_what_outlasts_the_draining_is_ended_with_a_line(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "serve.drain_timeout_s=0.2")

    async def drain() -> httpx.Response:
        async with rig.client() as client:
            held = asyncio.create_task(client.post("/v1/sql", json={"question": "slow", "schema": SCHEMA}))
            await asyncio.to_thread(rig.rules.slow.wait, 5)
            await rig.service.drain()
            assert held.done()
            return await held

    answer = asyncio.run(drain())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json() == {"error": "the endpoint stopped before there was an answer"}
    assert rig.rules.stopped.wait(5), "the decoder goes on for nobody"


def test_readiness_asks_the_model(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.ask("GET", "/readyz").json()["adapter"]["version"] == "7"
    rig.service._model = Away(rig.engine)
    assert rig.ask("GET", "/readyz").status_code == 503 and rig.ask("GET", "/healthz").status_code == 200


class Away(InProcess):
    async def readiness(self) -> Any:
        raise HTTPException(503, "the model's process went away", RETRY)


def test_metrics_count_requests_tokens_parse_failures_and_empty_results(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for question in ("everybody", "garbage", "nobody"):
        rig.post("/v1/sql", {"question": question, **ON_FIRM})
    rig.post("/v1/sql", {"question": "bug", "schema": SCHEMA})
    rig.ask("GET", "/nowhere/at/all")
    lines = rig.ask("GET", "/metrics").text.splitlines()
    assert 't2s_requests_total{route="/v1/sql",status="200"} 3.0' in lines
    assert 't2s_requests_total{route="/v1/sql",status="500"} 1.0' in lines
    assert 't2s_requests_total{route="other",status="404"} 1.0' in lines
    assert 't2s_request_seconds_count{route="/v1/sql"} 4.0' in lines
    assert "t2s_parse_failures_total 1.0" in lines and "t2s_empty_results_total 1.0" in lines
    assert "t2s_generated_tokens_total 22.0" in lines and "t2s_questions_waiting 0.0" in lines
    assert 't2s_adapter_info{base="rules",run_id="run7",version="7"} 1.0' in lines


def test_a_boolean_of_duckdb_is_one_of_json(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "flags.db") as database:
        database.execute("CREATE TABLE employees AS SELECT true AS name, 1 AS salary")
    rig = Rig(tmp_path, f"serve.databases.flags={tmp_path}/flags.db")
    answer = rig.post("/v1/sql", {"question": "cells", "database": "flags"})
    assert '"rows":[[true,1]]' in answer.text


def test_a_database_whose_file_went_away_does_not_hide_the_others(tmp_path: Path) -> None:
    rig = Rig(tmp_path, f"serve.databases.gone={tmp_path}/gone.db")
    firm, gone = rig.ask("GET", "/v1/databases").json()["databases"]
    assert firm["error"] is None and firm["tables"] and gone["tables"] == [] and "gone.db" in gone["error"]
