"""The nouns of generation: one question over one schema, and one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from t2s.data.core import TableRef
from t2s.sql.core import Schema


@dataclass(frozen=True, slots=True)
class Request:
    """A question and the schema that it is asked of, with sample values where the prompt shows some.

    ``source`` is where the rows are, as in :class:`t2s.data.core.Example`; only execution-guided decoding reads it.
    ``max_tokens`` can only shorten ``inference.max_new_tokens``. ``should_stop`` is asked between the passes of the
    decoder: once true, the answer ends where it is, unfinished, and its place in the batch is free.
    """

    question: str
    schema: Schema
    source: TableRef | Path | None = None
    max_tokens: int | None = None
    should_stop: Callable[[], bool] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model wrote.

    ``sql`` is the first statement in ``text``, the raw continuation; it need not be valid. ``finished`` is
    False if the model ran into the token limit.
    """

    sql: str
    text: str
    num_tokens: int
    finished: bool
