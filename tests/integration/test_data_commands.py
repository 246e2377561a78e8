"""``t2s data`` as a user runs it, in a process of its own, with the real archive where it is at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from t2s.cli.data_check import check_verb
from t2s.config import load
from t2s.data.core import TableRef
from t2s.data.synthetic.load import generate
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


def own_files(folder: Path, *bad: str) -> Path:
    """Three files over one schema; ``bad`` lines stand first in ``train.jsonl``."""
    schema = "TABLE: t ( a (text), b (real) )"
    folder.mkdir(parents=True, exist_ok=True)
    for at, split in enumerate(("train", "val", "test")):
        good = json.dumps({"question": f"Question {at}?", "sql": f"SELECT a FROM t WHERE b = {at}", "schema": schema})
        lines = [*(bad if split == "train" else ()), good]
        (folder / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def test_the_example_is_written_checked_and_shown_with_the_commands_that_it_prints(tmp_path: Path) -> None:
    written = t2s(tmp_path, "data", "example", "shop")
    assert written.returncode == 0, written.stderr
    assert written.stdout.strip() == "shop"
    for verb in ("check", "show -n 3"):
        command = f"t2s data {verb} data.pipeline=jsonl data.path=shop"
        assert command in written.stderr
        done = t2s(tmp_path, *command.split()[1:])
        assert done.returncode == 0, done.stderr
    again = t2s(tmp_path, "data", "example", "shop")
    assert again.returncode == 2 and "exists already" in again.stderr


def test_check_leaves_bad_lines_out_if_asked_says_so_and_keeps_them(tmp_path: Path) -> None:
    own_files(tmp_path / "own", "{", '{"question": NaN}')
    words = ("data", "check", "data.pipeline=jsonl", "data.path=own", "--report", "found.json")
    refused = t2s(tmp_path, *words)
    assert refused.returncode == 3
    assert "2 faults in own:" in refused.stderr and "own/train.jsonl:1: not JSON" in refused.stderr
    assert len(json.loads((tmp_path / "found.json").read_text())["rejected"]) == 2
    done = t2s(tmp_path, *words, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "2 bad lines of own left out (data.skip_bad); they are in runs/cache/rejects-own-" in done.stderr
    report = json.loads((tmp_path / "found.json").read_text())
    assert report["errors"] == 0 and len(report["rejected"]) == 2
    kept = (tmp_path / report["rejects"]).read_text().splitlines()
    assert [json.loads(line)["text"] for line in kept] == ["{", '{"question": NaN}']


def test_check_counts_tokens_by_the_bases_tokenizer(tmp_path: Path, tiny_model: Path) -> None:
    own_files(tmp_path / "own")
    words = ["data.pipeline=jsonl", f"data.path={tmp_path / 'own'}", "training.max_length=16"]
    report = check_verb(load([], [*words, f"model.name={tiny_model}"]), "own", True, None, tokens=True)
    assert report.limit == "over 16 tokens"
    assert [len(split.too_long) for split in report.splits.values()] == [1, 1, 1]


def test_load_data_is_generated_and_can_be_checked(tmp_path: Path) -> None:
    made = t2s(tmp_path, "data", "generate", "load", "--rows", "900", "--questions", "30")
    assert made.returncode == 0, made.stderr
    done = t2s(tmp_path, "data", "check", "--json", "data.pipeline=wikisql", "data.path=load")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"]["train"]["examples"] == 24


def test_the_reading_bench_prints_its_table(tmp_path: Path) -> None:
    generate(tmp_path / "load", 300, 10)
    command = [sys.executable, "-m", "bench.data", str(tmp_path / "load"), "--rounds", "1"]
    root = Path(__file__).resolve().parents[2]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "8 train examples" in printed and "x json.loads" in printed and "read and rendered" in printed


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
        (("fetch", "--from", "nothing.tar.bz2", "--sha256", "7"), 2, "--sha256 7: expected 64 hex digits"),
        (("check", "--report", "found.txt", *SYNTHETIC), 2, "--report found.txt"),
        (("generate", "out", "--rows", "3"), 2, "--rows 3: expected at least 30"),
        (("generate", "out"), 2, "--rows"),
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
    assert shown.stdout.startswith("# dev-0") and "\nTABLE: table ( " in shown.stdout


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
