"""The part of OpenAI's chat interface that a text-to-SQL model can mean: the schema in the system message, the
question in the last message of the user, the SQL as the answer.

Answers are deterministic, so that ``temperature``, ``top_p`` and the like change nothing; earlier turns are not read;
there is one choice. A stream brings the SQL in one piece when it is whole: until then it could still be refused with a
status of its own. Not covered: tools, images, log-probabilities, token counts of the prompt.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from t2s.serve.engine import Written
from t2s.serve.execute import Outcome
from t2s.serve.schemas import MAX_SCHEMA_CHARS, Name, Text

MODEL = "t2s"
MAX_MESSAGES = 64
MAX_TOKENS = 4096
Content = Annotated[Text, Field(max_length=MAX_SCHEMA_CHARS)]


class Part(BaseModel):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: Content


class Message(BaseModel):
    """Who says what."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | list[Part]

    @property
    def text(self) -> str:
        """All of it."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class Chat(BaseModel):
    """A request of an OpenAI client; fields that are not named here are ignored."""

    model_config = ConfigDict(extra="ignore")

    model: Name
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    n: int = Field(default=1, ge=1, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)

    @model_validator(mode="after")
    def _has_both(self) -> Chat:
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


def completion(chat: Chat, written: Written, outcome: Outcome) -> dict[str, Any]:
    """A ``chat.completion``; the field ``t2s`` tells the rest."""
    message = {"role": "assistant", "content": written.generation.sql}
    choice = {"index": 0, "message": message, "finish_reason": _reason(written), "logprobs": None}
    return _head("chat.completion", chat, written, outcome) | {"choices": [choice]}


def chunks(chat: Chat, written: Written, outcome: Outcome) -> Iterator[str]:
    """The same as server-sent events."""
    head = _head("chat.completion.chunk", chat, written, outcome)
    steps: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": written.generation.sql}, None),
        ({}, _reason(written)),
    ]
    for delta, reason in steps:
        yield _event(json.dumps(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
    yield _event("[DONE]")


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
