"""``t2s data`` as a user runs it, in a process of its own, with the real archive where it is at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from t2s.data.core import TableRef
from t2s.data.wikisql import WikiSQLPipeline

SYNTHETIC = (
    "data.pipeline=synthetic",
    "data.options.num_train=30",
    "data.options.num_val=6",
    "data.options.num_test=6",
)


def t2s(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from t2s.cli.main import main; main()", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_show_prints_prompt_and_completion_and_the_next_command(tmp_path: Path) -> None:
    done = t2s(tmp_path, "data", "show", "-n", "2", "--split", "test", *SYNTHETIC)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("TABLE: ") == done.stdout.count("QUESTION: ") == done.stdout.count("\nSQL: SELECT ") == 2
    assert "t2s data check data.pipeline=synthetic" in done.stderr


def test_check_gives_a_table_or_json(tmp_path: Path) -> None:
    done = t2s(tmp_path, "data", "check", *SYNTHETIC)
    assert done.returncode == 0, done.stderr
    assert "gold fails" in done.stdout
    report = json.loads(t2s(tmp_path, "data", "check", "--json", *SYNTHETIC).stdout)
    assert report["errors"] == 0 and report["splits"]["train"]["examples"] == 30


def test_check_of_bad_data_exits_3_with_the_line(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.jsonl").write_text('{"question": "q"}\n')
    done = t2s(tmp_path, "data", "check", "data.pipeline=jsonl", "data.path=.")
    assert done.returncode == 3
    assert "train.jsonl:1: field 'sql' is missing" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("show", "--split", "dev", *SYNTHETIC), 2, "--split dev"),
        (("show", "data.pipeline=wiki"), 2, "did you mean 'wikisql'"),
        (("show", "data.pipeline=synthetic", "data.options.numtrain=3"), 2, "data.options.numtrain"),
        (("show",), 3, "t2s data fetch"),
        (("fetch", "--from", "nothing.tar.bz2"), 3, "no such file"),
        (("show", "-c", "none.yaml"), 2, "none.yaml"),
    ],
)
def test_wrong_use_exits_with_its_code_and_one_message(
    tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = t2s(tmp_path, "data", *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_fetch_from_an_archive_then_show_needs_no_path(tmp_path: Path, shared_wikisql: Path) -> None:
    fetched = t2s(tmp_path, "data", "fetch", "--from", str(shared_wikisql / "data.tar.bz2"))
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.strip() == "runs/cache/wikisql.tar.bz2"
    shown = t2s(tmp_path, "data", "show", "-n", "1", "--split", "val")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("# dev-0\nTABLE: table ( ")


def test_the_shared_archive_reads_whole(tmp_path: Path, shared_wikisql: Path) -> None:
    train, val, test = WikiSQLPipeline(shared_wikisql / "data.tar.bz2", tmp_path).prepare()
    assert (len(train), len(val), len(test)) == (51_218, 1_000, 2_003)
    tables = [{e.source.table_id for e in split if isinstance(e.source, TableRef)} for split in (train, val, test)]
    assert not tables[0] & tables[1] and not tables[0] & tables[2] and not tables[1] & tables[2]


def test_a_split_without_rows_reads_without_sources(tmp_path: Path, shared_wikisql: Path) -> None:
    pipeline = WikiSQLPipeline(shared_wikisql / "official-dev.tar.bz2", tmp_path)
    examples = pipeline.read(pipeline.root(), "dev")
    assert len(examples) == 8_421
    assert all(example.source is None for example in examples)
