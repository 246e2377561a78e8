"""One scored question as a line of JSON, and back to text: what ``predictions.jsonl`` and ``--json`` files hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.core import Example
from t2s.errors import ConfigError
from t2s.evaluate.categories import category, facets
from t2s.evaluate.verdict import Gold, Rows, Verdict
from t2s.sql.core import LogicalForm
from t2s.sql.schema import render_schema

SHOWN_ROWS, SHOWN_CHARS = 5, 200
"""How much of a result a line keeps."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One question with the verdict on each side's answer, and the texts that were judged."""

    example: Example
    gold: Gold
    verdicts: Mapping[str, Verdict]
    texts: Mapping[str, str]


def question_line(example: Example, gold: Gold) -> dict[str, Any]:
    """What a line says about the question: ``id``, ``question``, ``schema``, ``category``, ``facets``, ``gold``, ..."""
    return {
        "id": example.id,
        "question": example.question,
        "schema": render_schema(example.schema),
        "category": category(gold.form),
        "facets": facets(gold.form, example.schema),
        "gold": example.sql,
        "gold_form": _form(gold.form),
        "gold_rows": shown_rows(gold.rows),
        "gold_faults": list(gold.faults),
        "gold_problem": gold.problem,
    }


def answer_line(verdict: Verdict, sql: str) -> dict[str, Any]:
    """What a line says about one side's answer."""
    return {
        "sql": sql,
        "lf": verdict.lf,
        "ex": verdict.ex,
        "repaired_ex": verdict.repaired_ex,
        "outcome": str(verdict.outcome),
        "detail": verdict.detail,
        "form": _form(verdict.form),
        "rows": shown_rows(verdict.rows),
        "ran": str(verdict.ran),
    }


def line_of(scored: Scored) -> dict[str, Any]:
    """The whole line: the question, and one entry a side."""
    answers = {side: answer_line(verdict, scored.texts[side]) for side, verdict in scored.verdicts.items()}
    return question_line(scored.example, scored.gold) | answers


def shown_rows(rows: Rows | None) -> dict[str, Any] | None:
    """``{"total": n, "first": [[...], ...]}``: a few rows, long cells cut; None if there is no result."""
    if rows is None:
        return None
    return {"total": len(rows), "first": [[_cell(value) for value in row] for row in rows[:SHOWN_ROWS]]}


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines beside ``path``, then rename; a :class:`ConfigError` if that place cannot be written."""
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as stream:
            for line in lines:
                text = json.dumps(line, ensure_ascii=False, allow_nan=False, default=str) + "\n"
                # Half a surrogate pair, which UTF-8 cannot hold, becomes the escape that JSON has for it.
                stream.write(text.encode("utf-8", "backslashreplace"))
        aside.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from None


def _form(lf: LogicalForm | None) -> dict[str, Any] | None:
    if lf is None:
        return None
    raw = lf.to_dict()
    return raw | {"conds": [[column, op, _cell(value)] for column, op, value in raw["conds"]]}


def _cell(value: Any) -> Any:
    """What JSON can hold of one value, cut to a readable length."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
