"""Every file of the corpus: refused with place and reason, quickly; with ``skip_bad`` its good lines stay.

What is written to the rejects is exactly what was left out.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from bad_layout import DATABASES, QUESTION, QUESTIONS, TABLE, TABLES
from bad_own import FILES, GOOD, LINES, line
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.faults import rejects_path
from t2s.data.jsonl import JsonlPipeline
from t2s.data.lines import MAX_LINE_BYTES
from t2s.data.wikisql import WikiSQLPipeline
from t2s.errors import DataError

LIMIT_S = 20.0  # a hang is an error; the speed of a busy machine is none


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good val and test files, and with databases good and bad."""
    folder = tmp_path_factory.mktemp("own") / "data"
    folder.mkdir()
    for split in ("val", "test"):
        (folder / f"{split}.jsonl").write_bytes(line(question=f"Good for {split}?") + b"\n")
    for path in (folder / "shop.db", folder.parent / "outside.db"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE goods (label TEXT)")
            connection.commit()
    whole = (folder / "shop.db").read_bytes()
    (folder / "damaged.db").write_bytes(whole[:100] + b"\xff" * 4000)
    (folder / "zero.db").write_bytes(b"")
    (folder / "notes.txt").write_text("no database")
    (folder / "folder").mkdir()
    (folder / "link.db").symlink_to(folder.parent / "outside.db")
    return folder


def own_pipeline(folder: Path, cache: Path, skip_bad: bool = False) -> JsonlPipeline:
    return JsonlPipeline(folder, cache, skip_bad, allow_shared_databases=True)


def refusal(pipeline: JsonlPipeline | WikiSQLPipeline) -> str:
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        pipeline.prepare()
    assert time.monotonic() - started < LIMIT_S
    assert caught.value.exit_code == 3
    return str(caught.value)


def rejected(cache: Path, folder: Path) -> list[tuple[str, int]]:
    text = rejects_path(cache, folder).read_text(encoding="utf-8")
    return [(Path(record["file"]).name, record["line"]) for record in map(json.loads, text.splitlines())]


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(LINES) + len(FILES) + len(QUESTIONS) + len(TABLES) + len(DATABASES) >= 120


@pytest.mark.parametrize("name", LINES)
def test_a_bad_line_is_refused_by_place_and_left_out_if_wished(own: Path, tmp_path: Path, name: str) -> None:
    bad, message = LINES[name]
    good = [line(question="First?"), line(question="Third?", id="third")]
    (own / "train.jsonl").write_bytes(b"\n".join([good[0], bad, good[1], b""]))
    told = refusal(own_pipeline(own, tmp_path))
    assert re.search(rf"train\.jsonl:2: .*({message})", told), told
    assert "\n" not in told and len(told) < 1500
    train, val, test = own_pipeline(own, tmp_path, skip_bad=True).prepare()
    assert [example.question for example in train] == ["First?", "Third?"]
    assert (len(val), len(test)) == (1, 1)
    assert rejected(tmp_path, own) == [("train.jsonl", 2)]


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_by_name(own: Path, tmp_path: Path, name: str) -> None:
    content, message = FILES[name]
    (own / "train.jsonl").unlink(missing_ok=True)
    if content is not None:
        (own / "train.jsonl").write_bytes(content)
    told = refusal(own_pipeline(own, tmp_path))
    assert re.search(message, told), told


def test_a_file_without_one_good_line_is_refused_even_if_bad_lines_may_be_left_out(own: Path, tmp_path: Path) -> None:
    (own / "train.jsonl").write_bytes(b"{\n[]\n")
    assert "train.jsonl: not one good line in it" in refusal(own_pipeline(own, tmp_path, skip_bad=True))


def test_a_line_of_100_mb_is_refused_in_time_and_the_lines_after_it_are_read(own: Path, tmp_path: Path) -> None:
    with (own / "train.jsonl").open("wb") as file:
        file.write(line(question="First?") + b'\n{"question": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + line(question="Last?") + b"\n")
    told = refusal(own_pipeline(own, tmp_path))
    assert f"train.jsonl:2: longer than {MAX_LINE_BYTES} bytes" in told
    train, _, _ = own_pipeline(own, tmp_path, skip_bad=True).prepare()
    assert [example.question for example in train] == ["First?", "Last?"]
    assert rejected(tmp_path, own) == [("train.jsonl", 2)]
    assert rejects_path(tmp_path, own).stat().st_size < 10_000


def test_carriage_returns_change_nothing(own: Path, tmp_path: Path) -> None:
    lines = [line(question="First?"), line(question="Second?")]
    (own / "train.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    unix = own_pipeline(own, tmp_path).prepare()
    (own / "train.jsonl").write_bytes(b"\r\n".join(lines) + b"\r\n")
    assert own_pipeline(own, tmp_path).prepare() == unix


def test_a_last_line_without_a_line_break_is_read(own: Path, tmp_path: Path) -> None:
    (own / "train.jsonl").write_bytes(line(question="Only?"))
    assert len(own_pipeline(own, tmp_path).prepare()[0]) == 1


def test_bad_bytes_stand_readable_in_the_rejects(own: Path, tmp_path: Path) -> None:
    (own / "train.jsonl").write_bytes(line(question="Good?") + b'\n{"question": "caf\xe9"}\n')
    own_pipeline(own, tmp_path, skip_bad=True).prepare()
    [record] = map(json.loads, rejects_path(tmp_path, own).read_text(encoding="utf-8").splitlines())
    assert record["text"] == '{"question": "caf\\xe9"}'
    assert record["reason"].startswith("not UTF-8")


GOOD_LINE = json.dumps({**GOOD, "question": "Round?"}).encode()


@given(st.data())
def test_no_bytes_raise_anything_but_a_data_error_and_every_line_is_good_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, own: Path, data: st.DataObject
) -> None:
    """Lines are arbitrary bytes, or the good line with some bytes overwritten."""
    mutated = st.builds(
        lambda at, patch: GOOD_LINE[:at] + patch + GOOD_LINE[at + len(patch) :],
        st.integers(0, len(GOOD_LINE)),
        st.binary(min_size=1, max_size=4),
    )
    lines = data.draw(st.lists(st.one_of(mutated, st.binary(max_size=60), st.just(GOOD_LINE)), max_size=6))
    content = b"\n".join([line(question="First?"), *lines]) + b"\n"
    (own / "train.jsonl").write_bytes(content)
    cache = own.parent
    rejects_path(cache, own).unlink(missing_ok=True)
    train, _, _ = own_pipeline(own, cache, skip_bad=True).prepare()
    left_out = rejected(cache, own) if rejects_path(cache, own).exists() else []
    assert len(train) + len(left_out) == content.count(b"\n")
    if left_out:
        with pytest.raises(DataError):
            own_pipeline(own, cache).prepare()


# The official layout


def layout(folder: Path, questions: list[bytes], tables: list[bytes]) -> Path:
    """All three splits alike, with a table ``1-2-3`` in each database."""
    folder.mkdir(parents=True, exist_ok=True)
    good = [json.dumps(QUESTION).encode()], [json.dumps(TABLE).encode()]
    for split, (asked, described) in {"train": good, "dev": (questions, tables), "test": good}.items():
        (folder / f"{split}.jsonl").write_bytes(b"\n".join([*asked, b""]))
        (folder / f"{split}.tables.jsonl").write_bytes(b"\n".join([*described, b""]))
        if not (folder / f"{split}.db").exists():
            with closing(sqlite3.connect(folder / f"{split}.db")) as connection:
                connection.execute("CREATE TABLE table_1_2_3 (col0 text, col1 real)")
                connection.commit()
    return folder


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_bad_question_is_refused_by_place_and_left_out_if_wished(tmp_path: Path, name: str) -> None:
    bad, message = QUESTIONS[name]
    good = json.dumps(QUESTION).encode()
    folder = layout(tmp_path / "data", [good, bad, good], [json.dumps(TABLE).encode()])
    told = refusal(WikiSQLPipeline(folder, tmp_path))
    assert re.search(rf"dev\.jsonl:2: .*({message})", told), told
    assert "\n" not in told
    train, dev, test = WikiSQLPipeline(folder, tmp_path, skip_bad=True).prepare()
    assert (len(train), len(dev), len(test)) == (1, 2, 1)
    assert rejected(tmp_path, folder) == [("dev.jsonl", 2)]


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table_is_refused_and_left_out_with_its_questions_if_wished(tmp_path: Path, name: str) -> None:
    bad, message = TABLES[name]
    good, over_bad = json.dumps(QUESTION).encode(), json.dumps({**QUESTION, "table_id": "1-2-4"}).encode()
    folder = layout(tmp_path / "data", [good, over_bad], [json.dumps(TABLE).encode(), bad])
    told = refusal(WikiSQLPipeline(folder, tmp_path))
    assert re.search(rf"dev\.tables\.jsonl:2: .*({message})", told), told
    assert len(WikiSQLPipeline(folder, tmp_path, skip_bad=True).prepare()[1]) == 1
    assert rejected(tmp_path, folder) == [("dev.tables.jsonl", 2), ("dev.jsonl", 2)]


@pytest.mark.parametrize("name", DATABASES)
def test_a_bad_database_of_the_layout_is_refused_whole(tmp_path: Path, name: str) -> None:
    content, message = DATABASES[name]
    folder = layout(tmp_path / "data", [json.dumps(QUESTION).encode()], [json.dumps(TABLE).encode()])
    (folder / "dev.db").write_bytes(content)
    for skip_bad in (False, True):
        assert re.search(rf"dev\.db: .*({message})", refusal(WikiSQLPipeline(folder, tmp_path, skip_bad)))


def test_a_missing_tables_file_is_refused_whole(tmp_path: Path) -> None:
    folder = layout(tmp_path / "data", [json.dumps(QUESTION).encode()], [json.dumps(TABLE).encode()])
    (folder / "dev.tables.jsonl").unlink()
    assert "dev.tables.jsonl: no such file" in refusal(WikiSQLPipeline(folder, tmp_path, skip_bad=True))
