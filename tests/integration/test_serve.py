"""The endpoint over HTTP: real Ray Serve, real sandbox, a rule-based engine behind the model's interface."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from t2s.config import Config, load
from t2s.errors import DataError, RunError, SetupError
from t2s.runtime import ray_session
from t2s.serve import ask, start, stop
from t2s.serve.access import TOKEN_VARIABLE

TOKEN = "a-token-of-the-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SCHEMA = "TABLE: employees ( id (real), name (text), salary (real) )"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("serve")
    with sqlite3.connect(folder / "firm.db") as database:
        database.execute("CREATE TABLE employees (id INTEGER, name TEXT, salary REAL)")
        database.execute("CREATE TABLE secrets (word TEXT)")
        database.executemany("INSERT INTO employees VALUES (?, ?, ?)", [(i, f"n{i}", 10.0 * i) for i in range(9)])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = [f"output_dir={folder}", f"serve.databases.firm={folder}/firm.db", f"serve.port={port}"]
    settings += ["serve.adapter=none", "serve.max_rows=5", "serve.timeout_s=0.5", "serve.max_batch_size=2"]
    settings += ["serve.max_queued_requests=3", "ray.num_cpus=2", "model.name=rules"]
    return load([], settings)


@pytest.fixture(scope="module")
def url(config: Config) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where Ray's processes find the engine
        patch.setenv(TOKEN_VARIABLE, TOKEN)  # the shipped client finds it too
        with ray_session(config):
            try:
                yield start(config, generator="rule_based:load_generator")
            finally:
                stop()


def post(url: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/sql", json=body, headers=BEARER, timeout=60, trust_env=False)


def get(url: str, path: str) -> httpx.Response:
    return httpx.get(f"{url}{path}", headers=BEARER, timeout=30, trust_env=False)


def wait_for_questions(url: str, number: int) -> None:
    deadline = time.monotonic() + 20
    while f"t2s_questions_waiting {number}.0" not in get(url, "/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_question_about_a_database_gets_sql_rows_and_the_adapter(url: str) -> None:
    answer = ask(url, "highest salary?", database="firm", table="employees")
    assert (answer["verdict"], answer["rows"], answer["sql"]) == (
        "ok",
        [[80.0]],
        "SELECT MAX(salary) FROM employees",
    )
    assert answer["adapter"] == {"version": "none", "run_id": None} and answer["base"] == "rules"
    assert answer["timing_ms"]["total"] >= answer["timing_ms"]["generate"] > 0


def test_rows_beyond_the_limit_are_cut_and_said(url: str) -> None:
    answer = ask(url, "everybody", database="firm", table="employees")
    assert answer["columns"] == ["name", "salary"] and len(answer["rows"]) == 5 and answer["truncated"]


@pytest.mark.parametrize(
    ("question", "verdict"),
    [
        ("garbage", "invalid_sql"),
        ("hostile", "refused"),
        ("elsewhere", "refused"),
        ("unknown column", "execution_error"),
        ("forever", "timeout"),
        ("unfinished", "invalid_sql"),
    ],
)
def test_what_does_not_run_is_a_verdict_with_a_line(url: str, question: str, verdict: str) -> None:
    answer = ask(url, question, database="firm", table="employees")
    assert (answer["verdict"], answer["rows"]) == (verdict, []) and answer["detail"]
    assert ask(url, "everybody", database="firm", table="employees")["verdict"] == "ok"  # nothing was harmed


def test_a_pasted_schema_is_answered_without_running(url: str) -> None:
    assert ask(url, "highest salary?", schema=SCHEMA)["verdict"] == "not_executed"
    assert ask(url, "garbage", schema=SCHEMA)["verdict"] == "invalid_sql"
    assert ask(url, "x", database="firm", table="employees", execute=False)["verdict"] == "not_executed"


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ({"question": "x", "database": "frm"}, 404, "did you mean 'firm'"),
        ({"question": "x", "database": "firm", "table": "employes"}, 404, "did you mean 'employees'"),
        ({"question": "x" * 2001, "schema": SCHEMA}, 422, "at most 2000"),
        ({"question": "x", "schema": "TABLE: t ( " + "a, " * 20_000}, 422, "at most 50000"),
        ({"question": "x", "schema": "employees"}, 422, "schema, character 1"),
        ({"question": "x"}, 422, "either a schema or a database"),
        ({"question": " ", "schema": SCHEMA}, 422, "empty"),
        ({"question": "x", "schema": SCHEMA, "tabel": "y"}, 422, "tabel"),
        ({"question": 7, "schema": SCHEMA}, 422, "string"),
        ({"question": "x", "schema": "y" * 600_000}, 413, "over 524288 bytes"),
        ({"question": "impossible", "schema": SCHEMA}, 422, "this question cannot be asked"),
    ],
)
def test_a_bad_request_is_one_line(url: str, body: dict[str, Any], status: int, line: str) -> None:
    response = post(url, **body)
    assert response.status_code == status and line in response.json()["error"]
    assert "\n" not in response.json()["error"]


def test_a_body_that_is_no_json_is_one_line(url: str) -> None:
    response = httpx.post(f"{url}/v1/sql", content=b"{nope", headers=BEARER, trust_env=False)
    assert response.status_code == 422 and "\n" not in response.json()["error"]


def test_an_impossible_question_does_not_fail_its_neighbours(url: str) -> None:
    questions = ["impossible", "highest salary?"] * 2
    with ThreadPoolExecutor(len(questions)) as pool:
        responses = list(pool.map(lambda q: post(url, question=q, schema=SCHEMA), questions))
    assert [r.status_code for r in responses] == [422, 200, 422, 200]


def test_too_many_questions_get_429_and_the_client_gets_through(url: str) -> None:
    with ThreadPoolExecutor(24) as pool:
        responses = list(pool.map(lambda _: post(url, question="sleep", schema=SCHEMA), range(24)))
        codes = [response.status_code for response in responses]
        assert set(codes) == {200, 429} and codes.count(200) >= 4
        refused = next(response for response in responses if response.status_code == 429)
        assert refused.headers["Retry-After"].isdigit() and "waiting" in refused.json()["error"]
    assert ask(url, "highest salary?", schema=SCHEMA)["verdict"] == "not_executed"


def test_health_and_databases_say_what_is_there(url: str) -> None:
    assert httpx.get(f"{url}/healthz", trust_env=False).json()["status"] == "ok"
    assert get(url, "/readyz").json() == {
        "status": "ready",
        "adapter": {"version": "none", "run_id": None},
        "adapters": {},
        "problem": None,
    }
    listed = get(url, "/v1/databases").json()["databases"]
    assert [table["name"] for table in listed[0]["tables"]] == ["employees", "secrets"]
    assert listed[0]["tables"][0]["columns"][2] == {"name": "salary", "type": "real"}


def test_the_playground_runs_only_its_own_script(url: str) -> None:
    response = get(url, "/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacent|document\.write|\son\w+=", response.text)


def test_the_client_says_who_refused_and_who_is_not_there(url: str) -> None:
    with pytest.raises(DataError, match="did you mean 'firm'"):
        ask(url, "x", database="frm")
    with pytest.raises(SetupError, match="t2s serve"):
        ask("http://127.0.0.1:9", "x", schema=SCHEMA)


def test_without_the_token_nothing_but_health_answers(url: str) -> None:
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    for path in ("/", "/v1/databases", "/metrics", "/nowhere"):
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 401
    with pytest.raises(DataError, match="token"):
        ask(url, "x", schema=SCHEMA, token="another-token-than-that")


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_openai_client_gets_the_sql(url: str, stream: bool) -> None:
    messages: Any = [{"role": "system", "content": SCHEMA}, {"role": "user", "content": "highest salary?"}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN, http_client=httpx.Client(trust_env=False)) as client:
        done: Any = client.chat.completions.create(model="t2s", messages=messages, stream=stream)
        text = "".join(c.choices[0].delta.content or "" for c in done) if stream else done.choices[0].message.content
    assert text == "SELECT MAX(salary) FROM employees"


def test_a_client_that_is_gone_frees_its_place_at_once(url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{url}/v1/sql", json={"question": "hold 60", "schema": SCHEMA}, headers=BEARER, timeout=2, trust_env=False
        )
    started = time.monotonic()
    wait_for_questions(url, 0)
    assert ask(url, "highest salary?", schema=SCHEMA)["verdict"] == "not_executed"
    assert time.monotonic() - started < 20  # of the 58 s that the answer still had to take


def test_a_stop_waits_for_the_question_under_way(url: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(post, url, question="hold 4", schema=SCHEMA)
        wait_for_questions(url, 1)
        stop(leave_serve=True)
        assert held.result().status_code == 200


def test_an_engine_that_does_not_start_is_one_error(url: str, config: Config) -> None:
    with socket.socket() as taken:  # the running Serve keeps its own port: only the model is broken here
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RunError, match="no such weights"):
            start(config, generator="rule_based:broken")
