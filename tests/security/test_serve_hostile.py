"""Requests and models that mean harm: each gets a 4xx line or an answer, and nothing is executed or shown raw."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

sys.path.append(str(Path(__file__).parents[1] / "unit" / "serve"))
from serve_rig import SCHEMA, Rig

ON_FIRM = {"database": "firm", "table": "employees"}
JSON = {"Content-Type": "application/json"}
FEW = settings(
    max_examples=15,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SYSTEM = {"role": "system", "content": SCHEMA}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("hostile"))
    yield made
    made.service.close()


def chat(**given: Any) -> bytes:
    return json.dumps({"model": "t2s", "messages": [SYSTEM, {"role": "user", "content": "x"}]} | given).encode()


BODIES = {
    "1 MB": ("/v1/sql", b'{"question": "' + b"x" * 1_000_000),
    "a prompt of 100,000 tokens": ("/v1/sql", json.dumps({"question": "a " * 100_000, "schema": SCHEMA}).encode()),
    "a schema of 100,000 words": (
        "/v1/chat/completions",
        chat(messages=[{"role": "system", "content": "a " * 100_000}]),
    ),
    "n=10000": ("/v1/chat/completions", chat(n=10_000)),
    "max_tokens=1e9": ("/v1/chat/completions", chat(max_tokens=10**9)),
    "a number of 5,000 digits": ("/v1/chat/completions", chat()[:-1] + b', "n": ' + b"9" * 5_000 + b"}"),
    "no JSON": ("/v1/sql", b"{nope"),
    "no UTF-8": ("/v1/sql", b'{"question": "\xff\xfe"}'),
    "nothing": ("/v1/sql", b""),
    "a list": ("/v1/sql", b"[]"),
    "wrong types": ("/v1/sql", b'{"question": {"a": 1}, "schema": [1]}'),
    "NaN": ("/v1/chat/completions", chat(n=float("nan"))),
    "deep JSON": ("/v1/sql", b'{"question": ' + b"[" * 100_000),
    "deep JSON that ends": ("/v1/sql", b"[" * 100_000 + b"]" * 100_000),
    "half a character": ("/v1/sql", b'{"question": "x", "schema": "\\ud800"}'),
    "half a character in a name": ("/v1/sql", b'{"question": "x", "database": "\\udfff"}'),
    "half a character as a key": ("/v1/sql", b'{"question": "x", "schema": "y", "\\ud800": 1}'),
    "NUL": ("/v1/sql", b'{"question": "x", "database": "firm", "table": "a\\u0000b"}'),
    "a deep schema": ("/v1/sql", json.dumps({"question": "x", "schema": "TABLE: t " + "(" * 40_000}).encode()),
    "a long batch": (
        "/v1/sql/batch",
        json.dumps({"questions": [{"question": "x", "schema": SCHEMA}] * 2_000}).encode(),
    ),
}


@pytest.mark.parametrize(("path", "body"), BODIES.values(), ids=BODIES.keys())
def test_a_hostile_body_is_one_line(rig: Rig, path: str, body: bytes) -> None:
    response = rig.ask("POST", path, content=body, headers=JSON)
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    line = error["message"] if path == "/v1/chat/completions" else error
    assert 0 < len(line) <= 500 and "\n" not in line
    assert rig.post("/v1/sql", {"question": "everybody", **ON_FIRM}).json()["verdict"] == "ok"


@pytest.mark.parametrize(
    ("question", "verdict"),
    [
        ("garbage", "invalid_sql"),
        ("unfinished", "invalid_sql"),
        ("unfinished hostile", "invalid_sql"),
        ("hostile", "refused"),
    ],
)
def test_what_the_model_should_not_have_written_is_a_verdict_and_never_runs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, question: str, verdict: str
) -> None:
    run: list[str] = []
    monkeypatch.setattr(rig.service._sandbox, "_run", lambda *given: run.append(str(given)))
    response = rig.post("/v1/sql", {"question": question, **ON_FIRM})
    answer = response.json()
    assert (response.status_code, answer["verdict"], answer["rows"], run) == (200, verdict, [], [])
    assert answer["detail"] and "\n" not in answer["detail"]


def test_markup_is_data_in_json_and_text_in_the_page(rig: Rig) -> None:
    response = rig.post("/v1/sql", {"question": "script", **ON_FIRM})
    answer = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert (
        "<script>" in answer["rows"][0][0] and "<script>" in answer["columns"][0]
    )  # unchanged: escaping is the page's
    page = rig.ask("GET", "/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff" and "frame-ancestors 'none'" in policy
    code = page.text
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\son\w+=", code)


def test_no_answer_lets_a_browser_guess_markup(rig: Rig) -> None:
    for method, path in (
        ("GET", "/nowhere/<script>alert(1)</script>"),
        ("DELETE", "/v1/sql"),
        ("GET", "/v1/databases"),
    ):
        assert rig.ask(method, path).headers["Content-Type"] == "application/json"


def test_rows_with_every_kind_of_cell_are_json(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "odd.db") as database:
        database.execute("CREATE TABLE employees (name, salary)")
        odd = [(b"\xff\x00", 9e999), ("\x1b[31m", -9e999), (None, 2**63 - 1), ("<img>", 0.1)]
        database.executemany("INSERT INTO employees VALUES (?, ?)", odd)
    rig = Rig(tmp_path, f"serve.databases.odd={tmp_path}/odd.db")
    answer = rig.post("/v1/sql", {"question": "cells", "database": "odd"})
    assert answer.status_code == 200 and len(answer.json()["rows"]) == 4


def as_localhost(app: Any) -> Any:
    """``app`` called by a name that it answers to; schemathesis calls itself testserver."""

    async def called(scope: Any, receive: Any, send: Any) -> None:
        others = [each for each in scope.get("headers", []) if each[0] != b"host"]
        await app({**scope, "headers": [*others, (b"host", b"localhost")]}, receive, send)

    return called


def test_nothing_that_the_openapi_document_allows_or_forbids_is_a_500(rig: Rig) -> None:
    document = schemathesis.openapi.from_asgi("/openapi.json", as_localhost(rig.api))
    tried: dict[str, int] = {}
    for result in document.get_all_operations():
        operation = result.ok()

        def attack(case: Any) -> None:
            response = case.call()
            assert response.status_code < 500 and response.status_code != 403, (
                case.method,
                case.path,
                case.body,
                response.text,
            )
            tried[case.path] = tried.get(case.path, 0) + 1

        modes = list(schemathesis.GenerationMode) if operation.body else [schemathesis.GenerationMode.POSITIVE]
        for mode in modes:
            FEW(given(case=operation.as_strategy(generation_mode=mode))(attack))()
    assert tried["/v1/sql"] >= 15 and tried["/v1/sql/batch"] >= 15 and tried["/v1/chat/completions"] >= 15
