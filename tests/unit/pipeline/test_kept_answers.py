"""The answers of an evaluation that was killed are not asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from t2s.config import Config, load
from t2s.generate.core import Generation, Request
from t2s.pipeline.answers import KeptAnswers
from t2s.sql.core import Column, Schema, Table

QUESTIONS = ("Who?", "Where?", "an \ud800 odd one")


class Models:
    """Stands for Ray: notes which sides were asked, and dies when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dies_at = ""

    def __call__(self, config: Config, adapters: Any, requests: Sequence[Request], on_progress: Any) -> Any:
        (side,) = adapters
        if side == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append(side)
        on_progress(len(requests), len(requests))
        return {side: [Generation(f"SELECT '{side}'", request.question, 3, True) for request in requests]}


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {"base": None}
    for name in ("tuned", "champion"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_text(name)
        found[name] = tmp_path / name
    return found


@pytest.fixture
def requests() -> list[Request]:
    schema = Schema((Table("t", (Column("name", "text"),)),))
    return [Request(question, schema) for question in QUESTIONS]


def test_a_side_that_has_answered_is_not_asked_again(
    tmp_path: Path, adapters: dict[str, Path | None], requests: list[Request]
) -> None:
    models, config, done = Models(), load([]), []
    keeper = KeptAnswers(tmp_path, models)
    models.dies_at = "champion"
    with pytest.raises(KeyboardInterrupt):
        keeper(config, adapters, requests)
    models.dies_at = ""
    found = keeper(config, adapters, requests, lambda part, total: done.append((part, total)))
    assert models.asked == ["base", "tuned", "champion"] and done == [(9, 9)]
    assert found == keeper(config, adapters, requests), "kept answers are the answers that were given"
    assert models.asked == ["base", "tuned", "champion"]
    keeper.forget()
    assert not list(tmp_path.glob("answers-*"))


@pytest.mark.parametrize("change", ["weights", "questions", "decoding"])
def test_other_weights_questions_or_decoding_are_asked_anew(
    tmp_path: Path, adapters: dict[str, Path | None], requests: list[Request], change: str
) -> None:
    models, config = Models(), load([])
    keeper = KeptAnswers(tmp_path, models)
    keeper(config, adapters, requests)
    if change == "weights":
        (tmp_path / "tuned" / "adapter_model.safetensors").write_text("trained again")
    config = load([], ["inference.grammar=wikisql"]) if change == "decoding" else config
    keeper(config, adapters, requests[:2] if change == "questions" else requests)
    expected = ["tuned"] if change == "weights" else list(adapters)
    assert models.asked[3:] == expected


def test_half_a_file_of_answers_is_none(
    tmp_path: Path, adapters: dict[str, Path | None], requests: list[Request]
) -> None:
    models = Models()
    keeper = KeptAnswers(tmp_path, models)
    keeper(load([]), adapters, requests)
    for damaged in (keeper.file("base").read_text()[:40], "[]", '{"answers": [1]}'):
        keeper.file("base").write_text(damaged)
        keeper(load([]), adapters, requests)
    assert models.asked[3:] == ["base"] * 3
