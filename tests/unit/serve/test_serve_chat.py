"""OpenAI's interface, asked with OpenAI's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from serve_rig import SCHEMA, Rig

MESSAGES: list[Any] = [{"role": "system", "content": SCHEMA}, {"role": "user", "content": "highest salary?"}]
SQL = "SELECT max(salary) FROM employees"


def with_client(rig: Rig, use: Callable[[openai.AsyncOpenAI], Awaitable[Any]]) -> Any:
    async def call() -> Any:
        async with rig.client() as transport:
            client = openai.AsyncOpenAI(
                api_key="x", base_url="http://localhost/v1", http_client=transport, max_retries=0
            )
            return await use(client)

    return asyncio.run(call())


def complete(rig: Rig, **given: Any) -> Any:
    asked = {"model": "t2s", "messages": MESSAGES} | given
    return with_client(rig, lambda client: client.chat.completions.create(**asked))


def test_the_official_client_gets_the_sql(rig: Rig) -> None:
    done = complete(rig, temperature=0.3, user="u")
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == (SQL, "stop")
    assert done.t2s["verdict"] == "not_executed" and done.t2s["adapter"]["version"] == "7"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (2, 4, 6)


def test_what_a_client_leaves_open_may_be_null(rig: Rig) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": []}
    given = {"n": None, "stream": None, "stop": None, "max_tokens": None, "tools": None, "logprobs": None}
    body = {"model": "t2s", "messages": [*MESSAGES, called, MESSAGES[1]]} | given
    assert rig.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"] == SQL


@pytest.mark.parametrize(("stop", "sql"), [(" FROM", "SELECT max(salary)"), (["x", "("], "SELECT ma"), ([";"], SQL)])
def test_an_answer_ends_before_the_first_text_that_is_to_stop_it(rig: Rig, stop: Any, sql: str) -> None:
    done = complete(rig, stop=stop)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == (sql, "stop")


def test_the_official_client_can_stream(rig: Rig) -> None:
    async def read(client: openai.AsyncOpenAI) -> list[Any]:
        stream = await client.chat.completions.create(model="t2s@7", messages=MESSAGES, stream=True)
        return [chunk async for chunk in stream]

    pieces = with_client(rig, read)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == SQL
    assert pieces[-1].choices[0].finish_reason == "stop" and len({piece.id for piece in pieces}) == 1


def test_a_stream_ends_with_its_usage_if_that_is_asked_for(rig: Rig) -> None:
    async def read(client: openai.AsyncOpenAI) -> list[Any]:
        stream = await client.chat.completions.create(
            model="t2s", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return [chunk async for chunk in stream]

    *pieces, last = with_client(rig, read)
    assert [piece.usage for piece in pieces] == [None] * 3 and last.choices == [] and last.usage.total_tokens == 6


def test_the_openapi_document_knows_how_openais_routes_fail(rig: Rig) -> None:
    document = rig.ask("GET", "/openapi.json").json()
    for path, expected in (("/v1/chat/completions", "t2s__serve__chat__Failure"), ("/v1/sql", "schemas__Failure")):
        said = document["paths"][path]["post"]["responses"]["429"]["content"]["application/json"]["schema"]["$ref"]
        assert said.endswith(expected)


def test_an_error_names_the_field_and_no_validator_of_it(rig: Rig) -> None:
    body = {"model": "t2s", "messages": [MESSAGES[0], {"role": "user", "content": 5}]}
    line = rig.post("/v1/chat/completions", body).json()["error"]["message"]
    assert line.startswith("messages.1.content: Input should be a valid string") and "function" not in line


def test_models_name_the_endpoint_and_its_adapter(rig: Rig) -> None:
    async def read(client: openai.AsyncOpenAI) -> list[str]:
        return [model.id async for model in client.models.list()]

    assert with_client(rig, read) == ["t2s", "t2s@7", "t2s@base"]


def test_fewer_tokens_can_be_asked_for(rig: Rig) -> None:
    done = complete(rig, max_tokens=2)
    assert done.choices[0].finish_reason == "length" and done.t2s["verdict"] == "invalid_sql"


def test_parts_and_earlier_turns_are_read_as_text(rig: Rig) -> None:
    parts = [{"type": "text", "text": "nobody"}]
    talk = [MESSAGES[0], MESSAGES[1], {"role": "assistant", "content": SQL}, {"role": "user", "content": parts}]
    assert complete(rig, messages=talk).choices[0].message.content == "SELECT name FROM employees WHERE id = 99"


@pytest.mark.parametrize(
    ("given", "error", "line"),
    [
        ({"model": "t2s@8"}, openai.NotFoundError, "serving: 7"),
        ({"model": "gpt"}, openai.NotFoundError, "there is t2s "),
        ({"n": 10_000}, openai.UnprocessableEntityError, "n: Input should be less than or equal to 1"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.UnprocessableEntityError, "tools"),
        ({"response_format": {"type": "json_object"}}, openai.UnprocessableEntityError, "response_format"),
        ({"logprobs": True}, openai.UnprocessableEntityError, "logprobs"),
        ({"stop": ["a"] * 5}, openai.UnprocessableEntityError, "stop"),
        (
            {"messages": [*[{"role": "system", "content": "x" * 30_000}] * 2, MESSAGES[1]]},
            openai.UnprocessableEntityError,
            "longer than 50000",
        ),
        ({"max_tokens": 10**9}, openai.UnprocessableEntityError, "max_tokens"),
        ({"messages": MESSAGES[1:]}, openai.UnprocessableEntityError, "system message"),
        ({"messages": MESSAGES[:1]}, openai.UnprocessableEntityError, "last message of the user"),
        ({"messages": [*MESSAGES, {"role": "user", "content": "x" * 2001}]}, openai.UnprocessableEntityError, "2000"),
        ({"messages": MESSAGES * 40}, openai.UnprocessableEntityError, "messages"),
        (
            {"messages": [MESSAGES[0], {"role": "user", "content": "impossible"}]},
            openai.UnprocessableEntityError,
            "asked",
        ),
    ],
)
def test_what_cannot_be_done_is_an_error_of_the_client(rig: Rig, given: Any, error: Any, line: str) -> None:
    with pytest.raises(error, match=line):
        complete(rig, **given)
