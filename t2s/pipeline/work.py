"""What every stage gets: the configuration, the record, and a screen to tell a person on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from t2s.config import Config
from t2s.pipeline.state import Flags, State


class Progress(Protocol):
    """How far something long has come."""

    def update(self, done: float, total: float) -> None: ...
    def metrics(self, row: dict[str, Any]) -> None: ...


class Board(Protocol):
    """The trials of a search while it runs."""

    def update(self, trials: Sequence[Any]) -> None: ...


class Screen(Protocol):
    """What a person sees of a pipeline."""

    def say(self, text: str) -> None: ...
    def trials(self, config: Config) -> AbstractContextManager[Board]: ...
    def meter(self, title: str) -> AbstractContextManager[Progress]: ...


@dataclass(frozen=True)
class Work:
    """A stage's surroundings. ``config`` has absolute paths."""

    config: Config
    state: State
    screen: Screen
    address: str | None
    """Of the cluster that it works on; None is a Ray of this command's own."""

    @property
    def flags(self) -> Flags:
        """What was asked for."""
        return self.state.flags

    def place(self, name: str) -> Path:
        """The run directory of a stage that has been begun."""
        place = self.state.place(name)
        assert place is not None, f"{name} was not begun"
        return place

    def trained(self) -> Config:
        """The configuration of the training: with the search's best setting, if there was a search."""
        from t2s.search.setting import apply_setting

        found = self.state["search"]
        return apply_setting(self.config, found.result["setting"]) if found.state == "done" else self.config


Body = Callable[[Work], dict[str, Any]]
"""Does a stage, or goes on with it, and returns what stands in the record of it."""
