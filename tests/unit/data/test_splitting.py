"""One file in three splits that share nothing, and three files that are not allowed to share."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.core import Splits
from t2s.data.jsonl import JsonlPipeline
from t2s.data.splitting import Shares, _assign
from t2s.errors import ConfigError, DataError
from t2s.sql.schema import render_schema


def schema(number: int) -> str:
    return f"TABLE: t{number} ( id (real), name (text) )"


def line(question: str, number: int, value: str = "x") -> dict[str, Any]:
    return {"question": question, "sql": f"SELECT id FROM t{number} WHERE name = '{value}'", "schema": schema(number)}


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in lines), encoding="utf-8")
    return path


def schemas(splits: Splits) -> list[set[str]]:
    return [{render_schema(example.schema) for example in split} for split in splits]


MANY = [line(f"Question {at} of {number}?", number) for number in range(20) for at in range(5)]


def test_one_file_is_split_so_that_no_database_is_in_two_splits(tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", MANY)
    splits = JsonlPipeline(tmp_path).prepare()
    assert [len(split) for split in splits] == [80, 10, 10]
    train, val, test = schemas(splits)
    assert not train & val and not train & test and not val & test


def test_a_file_may_be_named_and_its_shares_and_seed_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", MANY)
    splits = JsonlPipeline(path, val_share=0.2, test_share=0.3).prepare()
    assert [len(split) for split in splits] == [50, 20, 30]
    assert schemas(JsonlPipeline(path).prepare()) == schemas(JsonlPipeline(path).prepare())
    assert schemas(JsonlPipeline(path).prepare()) != schemas(JsonlPipeline(path, seed=1).prepare())


def test_a_file_of_one_database_is_split_by_questions_only_if_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [line(f"Who is {at}?", 0, str(at)) for at in range(9)])
    with pytest.raises(DataError, match=r"all lines ask about one database.*data\.options\.split=question"):
        JsonlPipeline(path).prepare()
    with pytest.raises(DataError, match="1 questions apart from their values; at least 3"):
        JsonlPipeline(path, split="question").prepare()


def test_questions_that_differ_in_their_values_only_stay_together(tmp_path: Path) -> None:
    words = ("What is {}?", "Find {}.", "Tell me of {}.", "Is {} there?", "Count {}.")
    lines = [line(pattern.format(city), 0, city) for pattern in words for city in ("Oslo", "Tel Aviv", "42")]
    splits = JsonlPipeline(write(tmp_path / "data.jsonl", lines), split="question", val_share=0.2, test_share=0.2)
    divided = splits.prepare()
    assert [len(split) for split in divided] == [9, 3, 3]
    firsts = [{example.question.split()[0] for example in split} for split in divided]
    assert not firsts[0] & firsts[1] and not firsts[0] & firsts[2] and not firsts[1] & firsts[2]


@given(st.lists(st.integers(1, 200), min_size=3, max_size=40), st.integers(0, 9))
def test_every_split_gets_a_group_and_shares_are_kept_to_within_the_largest(sizes: list[int], seed: int) -> None:
    groups = {str(number): size for number, size in enumerate(sizes)}
    chosen = _assign(groups, Shares(0.1, 0.1, seed))
    assert set(chosen.values()) == {0, 1, 2}
    counts = Counter[int]()
    for name, split in chosen.items():
        counts[split] += groups[name]
    assert counts[1] <= 0.1 * sum(sizes) + max(sizes) and counts[2] <= 0.1 * sum(sizes) + max(sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_share": 0}, r"data\.options\.val_share: expected a number between 0 and 1, found 0"),
        ({"test_share": "a"}, r"data\.options\.test_share"),
        ({"val_share": 0.5, "test_share": 0.5}, "leave nothing to train on"),
        ({"seed": 1.5}, r"data\.options\.seed: expected a whole number"),
        ({"split": "databases"}, r"data\.options\.split: 'databases' .*did you mean 'database'"),
        ({"split": ["database"]}, r"data\.options\.split: \['database'\] is not one of"),
        ({"allow_shared_databases": "yes"}, r"data\.options\.allow_shared_databases: expected true or false"),
        ({"databases": 3}, r"data\.options\.databases: expected a folder"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        JsonlPipeline(tmp_path, **options)


def three(folder: Path, train: list[Any], val: list[Any], test: list[Any]) -> Path:
    for split, lines in (("train", train), ("val", val), ("test", test)):
        write(folder / f"{split}.jsonl", lines)
    return folder


def test_one_of_several_databases_in_two_files_is_refused_unless_the_configuration_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three(tmp_path, [line("A?", 0), line("B?", 1)], [line("C?", 2)], [line("D?", 1)])
    with pytest.raises(DataError, match=r"test\.jsonl: database 'TABLE: t1 .* in train\.jsonl too.*allow_shared"):
        JsonlPipeline(tmp_path).prepare()
    assert len(JsonlPipeline(tmp_path, allow_shared_databases=True).prepare()[2]) == 1
    assert "1 of 3 databases" in caplog.text


def test_skipping_bad_lines_does_not_excuse_a_shared_database(tmp_path: Path) -> None:
    three(tmp_path, [line("A?", 0), line("B?", 1)], [line("C?", 2)], [line("D?", 1)])
    with pytest.raises(DataError, match=r"in train\.jsonl too"):
        JsonlPipeline(tmp_path, tmp_path / "cache", skip_bad=True).prepare()


def test_three_files_over_the_only_database_are_taken_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three(tmp_path, [line("A?", 0)], [line("B?", 0)], [line("C?", 0)])
    assert [len(split) for split in JsonlPipeline(tmp_path).prepare()] == [1, 1, 1]
    assert "one database: the score is for it, not for unseen ones" in caplog.text


def test_a_leaked_question_is_the_bad_line_that_skipping_leaves_out(tmp_path: Path) -> None:
    three(tmp_path, [line("A?", 0)], [line("B?", 0)], [line("C?", 0), line("a?", 0)])
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"test\.jsonl:2: the same question over the same schema as .*train\.jsonl:1"):
        JsonlPipeline(tmp_path, cache).prepare()
    assert [example.question for example in JsonlPipeline(tmp_path, cache, skip_bad=True).prepare()[2]] == ["C?"]
    [rejects] = cache.glob("rejects-*.jsonl")
    assert json.loads(rejects.read_text())["line"] == 2


def test_both_kinds_of_files_at_once_and_options_without_effect_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three(tmp_path, [line("A?", 0)], [line("B?", 0)], [line("C?", 0)])
    JsonlPipeline(tmp_path, split="database").prepare()
    assert "data.options.split=database has no effect" in caplog.text
    write(tmp_path / "data.jsonl", MANY)
    with pytest.raises(DataError, match=r"holds data\.jsonl and files of splits"):
        JsonlPipeline(tmp_path).prepare()


def test_database_files_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    three(tmp_path / "data", [line("A?", 0)], [line("B?", 0)], [line("C?", 0)])
    with pytest.raises(DataError, match=r"data\.options\.databases=elsewhere: no such folder"):
        JsonlPipeline(tmp_path / "data", databases="elsewhere").prepare()
