"""A batch that is ended anywhere goes on and asks nothing twice."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from t2s.cli.infer_batch import answer_file, answer_to_stdout, in_chunks, part_of
from t2s.cli.infer_files import Asked, read_questions
from t2s.errors import ConfigError, DataError
from t2s.generate.core import Generation, Request

ABOUT = {"base": "f00", "adapter": "3", "decoding": "greedy"}


class Model:
    """Answers two at a time, the last ones first, and is killed after ``lives`` answers."""

    def __init__(self, lives: int = 100) -> None:
        self.lives = lives
        self.asked: list[str] = []

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Generation]]]:
        order = list(reversed(range(len(requests))))
        for start in range(0, len(order), 2):
            if len(self.asked) >= self.lives:
                raise KeyboardInterrupt
            batch = order[start : start + 2]
            self.asked += [requests[at].question for at in batch]
            yield [(at, Generation(f"SELECT '{requests[at].question}'", "", 1, True)) for at in batch]


@pytest.fixture
def asked(tmp_path: Path) -> list[Asked]:
    rows = [{"question": f"q{number}", "schema": "TABLE: t ( a (real) )"} for number in range(7)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(tmp_path / "in.jsonl")


def answer(model: Model, asked: list[Asked], output: Path, about: dict[str, str] = ABOUT) -> None:
    requests = [Request(each.question, each.source.schema) for each in asked]
    answer_file(model.stream, asked, requests, output, about)


def test_a_killed_batch_goes_on_and_asks_nothing_twice(asked: list[Asked], tmp_path: Path) -> None:
    output, first, second = tmp_path / "out.jsonl", Model(lives=3), Model()
    with pytest.raises(KeyboardInterrupt):
        answer(first, asked, output)
    assert not output.exists() and len(first.asked) == 4
    with part_of(output).open("ab") as part:
        part.write(b'{"row": 0, "sql": "SELECT 1 but to')  # torn while it was written
    answer(second, asked, output)
    assert sorted(first.asked + second.asked) == [f"q{number}" for number in range(7)]
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row["id"], row["sql"], row["adapter"]) for row in rows] == [
        (number + 1, f"SELECT 'q{number}'", "3") for number in range(7)
    ]
    assert not part_of(output).exists()


def test_a_batch_torn_in_its_first_line_begins_anew(asked: list[Asked], tmp_path: Path) -> None:
    part_of(tmp_path / "out.csv").write_bytes(b'{"batch": {"ba')
    answer(model := Model(), asked, tmp_path / "out.csv")
    assert len(model.asked) == 7 and (tmp_path / "out.csv").read_text().count("\n") == 8


def test_what_another_batch_left_is_not_mixed_in(asked: list[Asked], tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer(Model(lives=1), asked, output)
    before = part_of(output).read_bytes()
    with pytest.raises(ConfigError, match="another adapter"):
        answer(Model(), asked, output, ABOUT | {"adapter": "4"})
    with pytest.raises(ConfigError, match="another questions"):
        answer(Model(), asked[1:], output)
    assert part_of(output).read_bytes() == before


@pytest.mark.parametrize("content", [b"SELECT\n", b"[]\n", b'{"batch": {}}\n{"row": 1}\n'])
def test_a_part_that_no_batch_wrote_is_refused(content: bytes, asked: list[Asked], tmp_path: Path) -> None:
    part_of(tmp_path / "out.jsonl").write_bytes(content)
    with pytest.raises(DataError, match="remove it to begin anew"):
        answer(Model(), asked, tmp_path / "out.jsonl")
    assert part_of(tmp_path / "out.jsonl").read_bytes() == content


def test_two_batches_do_not_write_one_output(asked: list[Asked], tmp_path: Path) -> None:
    with part_of(tmp_path / "out.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another batch"):
            answer(Model(), asked, tmp_path / "out.jsonl")


def test_without_an_output_answers_are_json_lines_in_order(
    asked: list[Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    answer_to_stdout(Model().stream, asked, [Request(each.question, each.source.schema) for each in asked], "3")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["sql"] for row in rows] == [f"SELECT 'q{number}'" for number in range(7)]


def test_a_long_file_is_asked_in_chunks_and_each_answer_keeps_its_place(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("t2s.cli.infer_batch.CHUNK", 3)
    requests = [Request(each.question, each.source.schema) for each in asked]
    batches = list(in_chunks(Model().stream)(requests))
    assert [len(batch) for batch in batches] == [2, 1, 2, 1, 1]
    assert {at: answer.sql for batch in batches for at, answer in batch} == {
        number: f"SELECT 'q{number}'" for number in range(7)
    }
