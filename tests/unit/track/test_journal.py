from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import DataError
from t2s.track import Journal, read_journal


class Listener:
    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.closed = False

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.seen.append((step, dict(metrics)))

    def close(self) -> str:
        self.closed = True
        return "2 of 3 metrics did not arrive"


def test_a_line_is_on_disk_before_the_next_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "deep" / "metrics.jsonl") as journal:
        journal.log(1, {"loss": 0.5})
        assert read_journal(journal.path)[0]["loss"] == 0.5


def test_non_finite_values_are_null_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener()
    with Journal(tmp_path / "m.jsonl", listener) as journal:
        journal.log(3, {"loss": math.nan, "norm": math.inf, "lr": 1e-3})
    text = journal.path.read_text()
    assert "NaN" not in text and "Infinity" not in text
    row = json.loads(text)
    assert (row["loss"], row["norm"], row["non_finite"]) == (None, None, ["loss", "norm"])
    assert listener.seen == [(3, {"lr": 1e-3})] and listener.closed
    assert "2 of 3 metrics did not arrive" in caplog.text


def test_a_torn_last_line_is_left_out_and_cut_before_appending(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert [row["step"] for row in read_journal(path)] == [1]
    with Journal(path) as journal:
        journal.log(2, {"loss": 1.0})
    assert [row["loss"] for row in read_journal(path)] == [2.0, 1.0]


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"loss": 1}', '{"step": "a"}'])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n')
    with pytest.raises(DataError, match="line 2"):
        read_journal(path)


def test_a_missing_journal_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_journal(tmp_path / "metrics.jsonl")


@given(values=st.lists(st.floats(), min_size=1, max_size=8))
def test_what_is_finite_reads_back_exactly(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("journal") / "m.jsonl"
    with Journal(path) as journal:
        for step, value in enumerate(values):
            journal.log(step, {"x": value})
    assert [row["x"] for row in read_journal(path)] == [v if math.isfinite(v) else None for v in values]
