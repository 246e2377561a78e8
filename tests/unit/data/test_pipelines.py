"""From configuration to pipeline, and the fingerprint of what came out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from t2s.config import DataConfig
from t2s.data.core import Example
from t2s.data.jsonl import JsonlPipeline
from t2s.data.pipelines import build_pipeline, fingerprint
from t2s.data.synthetic import SyntheticPipeline
from t2s.data.wikisql import WikiSQLPipeline
from t2s.errors import ConfigError
from t2s.sql.core import Column, Schema, Table

EXAMPLE = Example("a", "Who?", Schema((Table("t", (Column("n"),)),)), 'SELECT "n" FROM "t"')


def config(**fields: object) -> DataConfig:
    return DataConfig.model_validate(fields)


def test_names_build_their_pipelines_with_path_cache_and_options(tmp_path: Path) -> None:
    wikisql = build_pipeline(config(pipeline="wikisql", path=tmp_path))
    synthetic = build_pipeline(config(pipeline="synthetic", cache_dir=tmp_path, options={"num_train": 5}))
    assert isinstance(wikisql, WikiSQLPipeline) and wikisql.path == tmp_path
    assert isinstance(synthetic, SyntheticPipeline) and synthetic.sizes["train"] == 5
    assert isinstance(build_pipeline(config(pipeline="jsonl", path=tmp_path)), JsonlPipeline)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"pipeline": "wikisqll"},
            r"data\.pipeline: unknown pipeline 'wikisqll' \(did you mean 'wikisql'\?\)",
        ),
        ({"pipeline": "no.such.module:Data"}, r"data\.pipeline: no module 'no\.such\.module'"),
        ({"pipeline": ":Data"}, r"data\.pipeline: ':Data'"),
        ({"pipeline": "t2s.data.wikisql:WikiSQLPipelin"}, r"no class .*did you mean 'WikiSQLPipeline'"),
        ({"pipeline": "t2s.data.core:Example"}, r"has no method prepare"),
        (
            {"pipeline": "synthetic", "options": {"numtrain": 5}},
            r"data\.options\.numtrain: .*\(did you mean 'num_train'\?\)",
        ),
        (
            {"pipeline": "synthetic", "options": {"cache_dir": "x"}},
            r"data\.options\.cache_dir: set data\.cache_dir",
        ),
        (
            {"pipeline": "synthetic", "options": {"login": {"password": "***"}}},
            r"data\.options\.login\.password: \*\*\* stands where a secret was left out",
        ),
        ({"pipeline": "jsonl"}, r"data\.path: the pipeline jsonl needs it"),
    ],
)
def test_a_wrong_setting_names_its_key_and_the_cure(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pipeline(config(**fields))


def test_a_class_of_ones_own_is_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_data_for_test.py").write_text(
        "class Own:\n"
        "    def __init__(self, size, path=None):\n        self.size = size\n"
        "    def prepare(self):\n        return ([], [], [])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    pipeline = build_pipeline(config(pipeline="own_data_for_test:Own", options={"size": 3}))
    assert pipeline.prepare() == ([], [], [])
    with pytest.raises(ConfigError, match=r"data\.options\.size: the pipeline own_data_for_test:Own needs it"):
        build_pipeline(config(pipeline="own_data_for_test:Own"))


def test_a_path_without_effect_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_pipeline(config(pipeline="synthetic", path=tmp_path))
    assert "has no effect" in caplog.text


def test_the_fingerprint_sees_question_schema_sql_and_order_and_nothing_else() -> None:
    other_schema = Schema((Table("u", (Column("n"),)),))
    changed = [
        replace(EXAMPLE, question="Whom?"),
        replace(EXAMPLE, sql='SELECT MAX("n") FROM "t"'),
        replace(EXAMPLE, schema=other_schema),
    ]
    prints = {fingerprint([example]) for example in (EXAMPLE, *changed)}
    assert len(prints) == 4
    assert fingerprint([EXAMPLE, changed[0]]) != fingerprint([changed[0], EXAMPLE])
    assert fingerprint([EXAMPLE]) == fingerprint([replace(EXAMPLE, id="b", source=Path("x.db"))])
    assert len(fingerprint([EXAMPLE])) >= 12


def test_the_room_loads_neither_torch_nor_ray() -> None:
    heavy = "{'torch', 'ray', 'transformers', 'mlflow', 'datasets', 'httpx'}"
    modules = "pipelines, fetch, jsonl, layout, check, synthetic, wikisql, export"
    code = f"import sys; from t2s.data import {modules}; import t2s.cli.data; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
