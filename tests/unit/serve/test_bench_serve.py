"""``t2s bench serve`` against our own routes under uvicorn, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from serve_rig import SCHEMA, TOKEN, Rig

from t2s.cli.main import run
from t2s.errors import DataError, SetupError
from t2s.serve.bench import Load, completions_url, default_prompts, measure, percentiles, read_prompts
from t2s.serve.in_process import served

OURS = [[{"role": "system", "content": SCHEMA}, {"role": "user", "content": "highest salary?"}]]


def misbehaving(*turns: Any) -> Any:
    """Answers with each of ``turns`` again and again: a status, "html", or None, which is no answer at all."""
    order = itertools.cycle(turns)

    async def api(scope: Any, receive: Any, send: Any) -> None:
        turn = next(order)
        while turn is None and (await receive())["type"] != "http.disconnect":
            pass
        body = b"<p>hello</p>" if turn == "html" else json.dumps({"choices": [{"message": {"content": "x"}}]}).encode()
        status = turn if isinstance(turn, int) else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return api


def load(url: str, **given: Any) -> Load:
    settings: dict[str, Any] = {"prompts": OURS, "num_requests": 40, "concurrency": 8, "token": TOKEN} | given
    return Load(url, "t2s", **settings)


def test_our_endpoint_answers_all_and_the_command_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("T2S_SERVE_TOKEN", TOKEN)
    questions = tmp_path / "prompts.jsonl"
    questions.write_text("\n".join(json.dumps({"question": f"who {n}?", "schema": SCHEMA}) for n in range(3)))
    with served(Rig(tmp_path, token=TOKEN).api) as url:
        words = ["bench", "serve", url, "--requests", "20", "--prompts", str(questions)]
        assert run([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert run(words) == 0
        shown = capsys.readouterr().out
        monkeypatch.setenv("T2S_SERVE_TOKEN", "another-token-than-that")
        assert run(words) == 3 and "token" in capsys.readouterr().err
    assert (found["requests"], found["answered"], found["shed"], found["failed"]) == (20, 20, 0, 0)
    assert 0 < found["answered_ms"]["p50"] <= found["answered_ms"]["p95"] <= found["answered_ms"]["p99"]
    assert found["tokens_per_s"] > 0
    assert found["seconds"] == pytest.approx(20 / found["answers_per_s"], abs=0.001)  # given in milliseconds
    assert "answered p95, ms" in shown and "failed" in shown


def test_what_is_shed_and_what_fails_is_counted_apart() -> None:
    with served(misbehaving(200, 200, 429, 503, "html")) as url:
        result = asyncio.run(measure(load(url)))
    found = result.summary()
    assert (found["answered"], found["shed"], found["failed"]) == (16, 8, 16)
    assert sorted(found["failures"].values()) == [8, 8] and any("HTTP 503" in line for line in found["failures"])


def test_failures_end_the_command_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with served(misbehaving(500)) as url:
        assert run(["bench", "serve", url, "--requests", "5"]) == 1
    assert "failed 5 ×: HTTP 500" in capsys.readouterr().err


def test_a_request_without_an_answer_has_failed_after_the_timeout() -> None:
    with served(misbehaving(200, None)) as url:
        began = time.monotonic()
        found = asyncio.run(measure(load(url, num_requests=4, timeout_s=0.5))).summary()
    assert found["failures"] == {"TimeoutError": 2} and time.monotonic() - began < 5


def test_an_open_loop_keeps_its_rate_and_times_from_when_a_request_was_due() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.4)
        await misbehaving(200)(scope, receive, send)

    with served(slow) as url:
        result = asyncio.run(measure(load(url, num_requests=60, rate=100.0, concurrency=1)))
    assert len(result.answered) == 60 and 0.7 < result.seconds < 2.5  # one after the other: 24 s
    assert result.summary()["answered_ms"]["p50"] >= 400


def test_nobody_there_and_a_wrong_address_are_one_line() -> None:
    with pytest.raises(SetupError, match="is it up"):
        asyncio.run(measure(load("http://127.0.0.1:9")))
    for wrong in ("127.0.0.1:8000", "http://h:abc", "http://h:99999", "http://[::1", "ftp://h"):
        with pytest.raises(SetupError, match="not an endpoint"):
            completions_url(wrong)
    assert run(["bench", "serve", "nowhere"]) == 4
    assert run(["bench", "serve", "http://127.0.0.1:9", "--rate", "0"]) == 2


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("https://h/openai/v1", "https://h/openai/v1/chat/completions"),
    ],
)
def test_the_path_of_an_address_is_kept(url: str, expected: str) -> None:
    assert completions_url(url) == expected


def test_a_bad_line_of_prompts_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "x"}]}\n{"question": "x"}\n')
    with pytest.raises(DataError, match=r"p\.jsonl:2: expected"):
        read_prompts(file)
    assert len(default_prompts()) == 8


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([]) is None
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert percentiles([0.002]) == {"p50": 2.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
