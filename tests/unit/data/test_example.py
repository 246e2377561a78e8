"""The worked example and the load data: the same everywhere, and right by their own check."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.data.check import check
from t2s.data.core import TableRef
from t2s.data.example import questions, write_example
from t2s.data.jsonl import JsonlPipeline
from t2s.data.pipelines import fingerprint
from t2s.data.synthetic.load import generate
from t2s.data.wikisql import WikiSQLPipeline
from t2s.errors import ConfigError
from t2s.sql.database import Engine


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_the_example_has_no_finding_on_either_engine(tmp_path: Path, engine: Engine) -> None:
    counts = write_example(tmp_path / "shop", engine)
    splits = JsonlPipeline(tmp_path / "shop").prepare()
    assert [len(split) for split in splits] == [counts["train"], counts["val"], counts["test"]]
    assert sum(map(len, splits)) >= 60
    report = check(splits)
    assert report.errors == 0
    assert [line for line in report.findings() if "two splits" not in line and "shop." not in line] == []
    schema = splits[0][0].schema
    assert [table.name for table in sorted(schema.tables, key=lambda table: table.name)] == [
        "customers", "order_items", "orders", "products",
    ]  # fmt: skip
    assert len(schema.foreign_keys) == 3


def test_the_example_joins_and_groups_and_asks_nothing_twice() -> None:
    asked = list(questions())
    assert len({question for question, _ in asked}) == len(asked)
    assert sum(" JOIN " in sql for _, sql in asked) >= 30
    assert sum("GROUP BY" in sql for _, sql in asked) >= 10


def test_both_engines_give_the_same_answers(tmp_path: Path) -> None:
    from t2s.sql.sandbox import Sandbox

    for engine in ("sqlite", "duckdb"):
        write_example(tmp_path / engine, engine)
    with Sandbox() as sandbox:
        for question, sql in questions():
            one, other = (
                sandbox.run(tmp_path / engine / name, sql).rows
                for engine, name in (("sqlite", "shop.db"), ("duckdb", "shop.duckdb"))
            )
            same = sorted(map(repr, map(rounded, one))) == sorted(map(repr, map(rounded, other)))
            assert same, question


def rounded(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row)


def test_the_example_is_the_same_every_time_and_overwrites_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_example(tmp_path / name)
    first, second = (JsonlPipeline(tmp_path / name).prepare() for name in ("a", "b"))
    assert [fingerprint(split) for split in first] == [fingerprint(split) for split in second]
    with pytest.raises(ConfigError, match="exists already"):
        write_example(tmp_path / "a")


def test_load_data_has_the_rows_and_questions_asked_for_and_reads_as_wikisql_does(tmp_path: Path) -> None:
    manifest = generate(tmp_path / "load", 2_000, 60, seed=3)
    splits = WikiSQLPipeline(tmp_path / "load", tmp_path).prepare()
    assert [len(split) for split in splits] == [48, 6, 6]
    assert sum(split["rows"] for split in manifest["splits"].values()) == 2_000
    assert all(isinstance(example.source, TableRef) for split in splits for example in split)
    report = check(splits)
    assert report.errors == 0 and not any(split.empty for split in report.splits.values())


def test_load_data_is_the_same_by_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, 300, 10, seed)
    texts = [(tmp_path / name / "data" / "train.tables.jsonl").read_bytes() for name in ("a", "b", "c")]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("rows", "questions_", "message"),
    [(5, 10, "--rows 5"), (100, 1, "--questions 1"), (30, 600, "--rows: 480 train questions need 240 rows")],
)
def test_load_data_of_impossible_size_is_refused(tmp_path: Path, rows: int, questions_: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(tmp_path / "load", rows, questions_)
    assert not (tmp_path / "load").exists()
