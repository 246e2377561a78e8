"""A study of its own for each test, with the smallest settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.config import Config, load
from t2s.search.book import Book
from t2s.search.ladder import Ladder

SETTINGS = ["search.rungs=3", "search.num_trials=6", "search.ex_rungs=1"]
MakeBook = Callable[..., Book]


@pytest.fixture
def config() -> Config:
    """Three rungs, of which the last one asks questions."""
    return load([], SETTINGS)


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """``make_book(*overrides, again=False)``: a new study in this test's folder, or the one that is there."""

    def make(*overrides: str, again: bool = False) -> Book:
        config = load([], [*SETTINGS, *overrides])
        ladder = Ladder.of(config, has_rows=True)
        made = Book.open if again else Book.create
        return made(tmp_path, config, ladder, {"settings": "{}"})

    return make
