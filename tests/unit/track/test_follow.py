"""Following a journal that is being written, and cut by a run that goes on from a checkpoint."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from t2s.track import follow
from t2s.track.follow import following


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def wait_for(seen: list[dict[str, Any]], count: int) -> None:
    end = time.monotonic() + 10
    while len(seen) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_a_cut_journal_that_has_grown_past_its_old_size_tells_every_new_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "POLL_S", 0.02)
    path, seen = tmp_path / "metrics.jsonl", list[dict[str, Any]]()
    steps = [{"step": step} for step in range(1, 7)]
    write(path, *steps[:2])
    with following(path, seen.append):
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in steps[2:])
        wait_for(seen, 4)
        # Cut at step 4 and written on, between two looks.
        aside = tmp_path / "aside"
        after = [*steps[:4], {"step": 4, "restarts": 1.0}, *({"step": step, "loss": 1.0} for step in (5, 6, 7))]
        write(aside, *after)
        aside.replace(path)
        wait_for(seen, 8)
    assert seen == [*steps[2:], *after[4:]]


def test_a_line_that_is_not_complete_yet_is_told_once_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_S", 0.02)
    path, seen = tmp_path / "metrics.jsonl", list[dict[str, Any]]()
    with following(path, seen.append):
        path.write_text('{"step": 1}\n{"st', "utf-8")
        wait_for(seen, 1)
        with path.open("a", encoding="utf-8") as stream:
            stream.write('ep": 2}\n')
    assert seen == [{"step": 1}, {"step": 2}]
