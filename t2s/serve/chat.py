"""The part of OpenAI's chat interface that a text-to-SQL model can mean: the schema in the system message, the
question in the last message of the user, the SQL as the answer.

https://platform.openai.com/docs/api-reference/chat. Answers are deterministic, so that ``temperature``, ``top_p`` and
the like change nothing; earlier turns are not read; there is one choice. A stream brings the SQL in one piece when it
is whole: until then it could still be refused with a status of its own. Not covered, and refused where they would
change what the answer is: tools, images, log-probabilities, response formats.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from t2s.serve.engine import Written
from t2s.serve.execute import Outcome
from t2s.serve.schemas import MAX_NAME_CHARS, MAX_SCHEMA_CHARS, Name, Text

MODEL = "t2s"
MAX_MESSAGES = 64
MAX_TOKENS = 4096
MAX_STOPS = 4
Content = Annotated[Text, Field(max_length=MAX_SCHEMA_CHARS)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS)]


class Part(BaseModel):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: Content


class TextFormat(BaseModel):
    """The one form that an answer has."""

    type: Literal["text"]


class Message(BaseModel):
    """Who says what."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | list[Part] | None = None
    """None is what a turn of the assistant has that called a tool."""

    @property
    def text(self) -> str:
        """All of it."""
        content = self.content or ""
        return content if isinstance(content, str) else "\n".join(part.text for part in content)


class StreamOptions(BaseModel):
    """How a stream ends."""

    include_usage: bool | None = None
    """With one more chunk, which counts the tokens."""


class Chat(BaseModel):
    """A request of an OpenAI client, which may say null for what it leaves open; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    model: Name
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)

    logprobs: Literal[False] | None = None
    tools: list[Any] | None = Field(default=None, max_length=0)
    functions: list[Any] | None = Field(default=None, max_length=0)
    response_format: TextFormat | None = None

    @model_validator(mode="after")
    def _has_both(self) -> Chat:
        if len(self.schema_text) > MAX_SCHEMA_CHARS:
            raise ValueError(f"the system messages together are longer than {MAX_SCHEMA_CHARS} characters")
        if not self.schema_text.strip():
            raise ValueError("the system message is to hold the schema: TABLE: name ( column (type), ... )")
        if not self.question.strip():
            raise ValueError("the last message of the user is to hold the question")
        return self

    @property
    def schema_text(self) -> str:
        """The system messages together."""
        return "\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    @property
    def question(self) -> str:
        """The last message of the user."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def limit(self) -> int | None:
        """Tokens that the answer may have."""
        return self.max_completion_tokens or self.max_tokens


class Trouble(BaseModel):
    """What OpenAI's clients read of an error."""

    message: str
    type: str
    param: str | None
    code: str


class Failure(BaseModel):
    """The body of every 4xx and 5xx answer on these routes."""

    error: Trouble


def cut(chat: Chat, written: Written) -> Written:
    """The SQL up to the first of the texts in ``stop``, which end an answer and do not belong to it."""
    stops = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
    sql = written.generation.sql
    end = min((at for at in map(sql.find, stops) if at >= 0), default=None)
    if end is None:
        return written
    return replace(written, generation=replace(written.generation, sql=sql[:end], finished=True))


def completion(chat: Chat, written: Written, outcome: Outcome) -> dict[str, Any]:
    """A ``chat.completion``; the field ``t2s`` tells the rest."""
    message = {"role": "assistant", "content": written.generation.sql}
    choice = {"index": 0, "message": message, "finish_reason": _reason(written), "logprobs": None}
    return _head("chat.completion", chat, written, outcome) | {"choices": [choice], "usage": usage(written)}


def chunks(chat: Chat, written: Written, outcome: Outcome) -> Iterator[str]:
    """The same as server-sent events."""
    head = _head("chat.completion.chunk", chat, written, outcome)
    steps: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": written.generation.sql}, None),
        ({}, _reason(written)),
    ]
    counts = chat.stream_options is not None and chat.stream_options.include_usage
    if counts:
        head["usage"] = None
    for delta, reason in steps:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        yield _event(json.dumps(head | {"choices": [choice]}))
    if counts:
        yield _event(json.dumps(head | {"choices": [], "usage": usage(written)}))
    yield _event("[DONE]")


def usage(written: Written) -> dict[str, int] | None:
    """Tokens read and written; None where the engine does not count what it reads."""
    read, wrote = written.generation.num_prompt_tokens, written.generation.num_tokens
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote} if read else None


def models(adapters: Iterable[str], started: int) -> dict[str, Any]:
    """The endpoint under its plain name, and once for each adapter that may be asked for."""
    names = [MODEL, *(f"{MODEL}@{adapter}" for adapter in adapters)]
    rows = [{"id": name, "object": "model", "created": started, "owned_by": MODEL} for name in names]
    return {"object": "list", "data": rows}


def version_of(model: str) -> str | None:
    """The adapter that ``model`` asks for, by name or version: None is whatever is served."""
    if model == MODEL:
        return None
    if not model.startswith(f"{MODEL}@"):
        raise HTTPException(404, f"model: no {model!r} here; there is {MODEL} (see GET /v1/models)")
    return model.removeprefix(f"{MODEL}@")


def _head(kind: str, chat: Chat, written: Written, outcome: Outcome) -> dict[str, Any]:
    about = {
        "verdict": outcome.verdict,
        "detail": outcome.detail,
        "adapter": written.adapter.model_dump(),
        "regime": written.regime,
        "completion_tokens": written.generation.num_tokens,
    }
    identity = f"chatcmpl-{uuid.uuid4().hex}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": chat.model, "t2s": about}


def _reason(written: Written) -> str:
    return "stop" if written.generation.finished else "length"


def _event(data: str) -> str:
    return f"data: {data}\n\n"
