"""The nouns of generation: one question over one schema, and one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from t2s.data.core import TableRef
from t2s.sql.core import Schema

BASE = "base"
"""The bare base, as the writer of an answer; no adapter can be attached under this name."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question and the schema that it is asked of, with sample values where the prompt shows some.

    ``source`` is where the rows are, as in :class:`t2s.data.core.Example`; only execution-guided decoding reads it.
    ``max_tokens`` can only shorten ``inference.max_new_tokens``. ``should_stop`` is asked between the passes of the
    decoder: once true, the answer ends where it is, unfinished, and its place in the batch is free. ``adapter`` writes
    the answer: a name given to :meth:`HoldsAdapters.attach`, ``base`` for the bare base, or None for what was loaded.
    """

    question: str
    schema: Schema
    source: TableRef | Path | None = None
    max_tokens: int | None = None
    should_stop: Callable[[], bool] | None = field(default=None, compare=False)
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model wrote.

    ``sql`` is the first statement in ``text``, the raw continuation; it need not be valid. ``finished`` is
    False if the model ran into the token limit. ``problem`` says why nothing was written, if the question could not
    even be put to the model.
    """

    sql: str
    text: str
    num_tokens: int
    finished: bool
    num_prompt_tokens: int = 0
    """What the model was given; 0 if the engine does not say."""
    problem: str | None = None


@runtime_checkable
class HoldsAdapters(Protocol):
    """A generator whose requests may each name their own adapter, together in one batch."""

    def read_adapter(self, directory: Path) -> Any:
        """Check and read an adapter, for :meth:`attach`; on any thread. AdapterError: damaged, or not for this base."""
        ...

    def attach(self, name: str, adapter: Any) -> None:
        """Let requests be written by ``adapter`` under ``name``; AdapterError if it does not fit."""
        ...

    def detach(self, name: str) -> None:
        """Forget an adapter, and what was remembered of it."""
        ...
