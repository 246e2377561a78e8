"""The core of ``t2s compare``: two scored files over the same questions, question by question.

It reads what ``t2s score --json`` writes, and ``predictions.jsonl`` of an evaluation (or the directory that holds it),
where a side is named: ``runs/evaluate-x:base``. Files over other questions are refused, since a paired test between
them would mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.lines import json_type, objects, raising
from t2s.errors import DataError, suggest
from t2s.evaluate.paired import Paired, paired
from t2s.evaluate.table import ALL_METRICS, CATEGORY_ORDER, SIDES

PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Marks:
    """One system's marks by question: ``{key: {"ex": ..., "lf": ..., "repaired_ex": ...}}``."""

    name: str
    marks: Mapping[str, Mapping[str, bool | None]]
    asked: Mapping[str, str]
    """What each key asked: question and gold."""
    category: Mapping[str, str]


def compare_files(first: str, second: str, seed: int = 0) -> tuple[Marks, Marks, dict[str, dict[str, Paired]]]:
    """The two systems, and metric to category to comparison (first against second); empty metrics are left out."""
    ours, theirs = read_marks(first), read_marks(second)
    refuse_other_questions(ours, theirs)
    found: dict[str, dict[str, Paired]] = {}
    for metric in ALL_METRICS:
        for category in (*CATEGORY_ORDER, "overall"):
            keys = [key for key in ours.marks if category in (ours.category[key], "overall")]
            result = paired([(ours.marks[key][metric], theirs.marks[key][metric]) for key in keys], seed)
            if result:
                found.setdefault(metric, {})[category] = result
    return ours, theirs, found


def read_marks(named: str) -> Marks:
    """The marks in ``PATH`` or ``PATH:SIDE``; raise :class:`DataError` with file and line."""
    path, side = _place(named)
    fail = raising(path)
    marks: dict[str, dict[str, bool | None]] = {}
    asked, category = {}, {}
    for number, line in objects(path, fail):
        key = _key(line, number, fail)
        if key in marks:
            fail(number, f"the question {key} occurs twice; it must be counted once")
        answer = _answer(line, side, number, fail)
        marks[key] = {metric: _mark(answer, metric, number, fail) for metric in ALL_METRICS}
        asked[key] = f"{line.get('question')}\n{line.get('gold')}"
        category[key] = str(line.get("category", "other"))
    return Marks(named, marks, asked, category)


def refuse_other_questions(ours: Marks, theirs: Marks) -> None:
    """Raise :class:`DataError` unless both answered exactly the same questions with the same golds."""
    only_ours, only_theirs = ours.asked.keys() - theirs.asked.keys(), theirs.asked.keys() - ours.asked.keys()
    cure = "compare files of the same split (and the same --max-samples and seed)"
    if only_ours or only_theirs:
        raise DataError(
            f"{ours.name} and {theirs.name} answer other questions: {len(only_ours)} are only in the first, "
            f"{len(only_theirs)} only in the second; {cure}"
        )
    for key, question in ours.asked.items():
        if theirs.asked[key] != question:
            raise DataError(f"{ours.name} and {theirs.name} ask different things under {key}; {cure}")


def _place(named: str) -> tuple[Path, str]:
    """The file and the side that ``named`` means; the side is empty where it was not given."""
    head, colon, tail = named.rpartition(":")
    if colon and tail in SIDES and not Path(named).exists():
        path, side = Path(head), tail
    else:
        path, side = Path(named), ""
        if colon and head and not path.exists() and Path(head).exists():
            raise DataError(f"{named}: {tail!r} is no side{suggest(tail, SIDES)}; write {head}:base or {head}:tuned")
    return (path / PREDICTIONS if path.is_dir() else path), side


def _key(line: Mapping[str, Any], number: int, fail: Callable[[int, str], Any]) -> str:
    if isinstance(line.get("id"), str):
        return str(line["id"])
    if type(line.get("index")) is int:
        return str(line["index"])
    fail(number, "neither an index nor an id; expected what t2s score --json or t2s evaluate writes")
    raise AssertionError


def _answer(line: Mapping[str, Any], side: str, number: int, fail: Callable[[int, str], Any]) -> Mapping[str, Any]:
    present = [name for name in SIDES if isinstance(line.get(name), dict)]
    if "index" in line and not present:
        if side:
            fail(number, f"a file of t2s score has no side {side!r}; name the file alone")
        return line
    wanted = side or (present[-1] if present else "")
    if wanted not in present:
        fail(number, f"no answer of {wanted or 'any side'}; there is: {', '.join(present) or 'none'}")
    answer: Mapping[str, Any] = line[wanted]
    return answer


def _mark(answer: Mapping[str, Any], metric: str, number: int, fail: Callable[[int, str], Any]) -> bool | None:
    value = answer.get(metric)
    if value is not None and not isinstance(value, bool):
        fail(number, f"field {metric!r}: expected true, false or null, found {json_type(value)}")
    return value
