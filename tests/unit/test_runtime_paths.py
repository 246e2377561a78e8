"""A pinned configuration means the same files in whatever directory a process of Ray's runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.config import load
from t2s.runtime import pin_paths


def test_every_path_of_a_configuration_is_absolute_once_it_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``serve.adapter`` and ``serve.token_file`` were not: another process looked for them where it ran."""
    here = tmp_path.resolve()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here / "home"))
    for folder in ("base", "mine", "7"):
        (here / folder).mkdir()
    config = pin_paths(
        load(
            [],
            [
                "model.name=base", "data.path=questions.jsonl", "output_dir=~/runs", "serve.adapter=mine",
                "serve.adapters={one: runs/x/adapter, two: '7', three: challenger, four: ~/a}",
                "serve.token_file=~/tokens", "serve.databases.shop=shop.db",
            ],
        )
    )  # fmt: skip
    serve = config.serve
    assert (config.model.name, config.data.path) == (f"{here}/base", here / "questions.jsonl")
    assert config.output_dir == here / "home" / "runs" and config.data.cache_dir == here / "runs" / "cache"
    assert (serve.adapter, serve.token_file) == (f"{here}/mine", here / "home" / "tokens")
    assert serve.adapters == {
        "one": f"{here}/runs/x/adapter",
        "two": "7",
        "three": "challenger",
        "four": f"{here}/home/a",
    }
    assert serve.databases == {"shop": here / "shop.db"}
    assert pin_paths(config) == config and pin_paths(load([])).serve.adapter == "champion"
