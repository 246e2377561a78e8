"""Score a file of predictions against one split of the official layout: the core of ``t2s score``.

A prediction is a line ``{"query": {sel, agg, conds}}``, ``{"sql": "..."}`` or ``{"error": ...}``, in the split's order.
As in the official script, a true ``error`` wins over a query beside it, and a ``query`` that is malformed or missing
is a wrong answer. A *line* that is malformed (no JSON object, ``sql`` that is no text, query and sql both) is an error
of the file. The official script stops where the shorter file ends; here a missing line is a wrong answer, and a surplus
one counts as wrong in the repaired score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.core import Example
from t2s.data.faults import Faults
from t2s.data.layout import data_folder, read_tables
from t2s.data.lines import MAX_LINE_BYTES, json_type, objects, raising, raw_lines
from t2s.errors import DataError, SQLError, suggest
from t2s.evaluate.lines import Scored
from t2s.evaluate.score import Scorer
from t2s.evaluate.verdict import Outcome, Verdict, failed
from t2s.sql.core import LogicalForm
from t2s.sql.render import render
from t2s.sql.repaired import strict_form

SIDE = "prediction"
"""The name of the one side of a scored file, where an evaluation has ``base`` and ``tuned``."""

KINDS = ("query", "sql", "error")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line: its kind is the first of :data:`KINDS` that counts, or ``nothing``."""

    kind: str
    value: Any = None


@dataclass(frozen=True)
class ScoredFile:
    """The questions in the split's order, and how many lines the file had too few or too many."""

    scored: list[Scored]
    missing: int
    surplus: int


def score_file(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    ordered: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ScoredFile:
    """Score the predictions in order; ``ordered`` compares the conditions of logical forms as a list."""
    scored = []
    with Scorer(ordered=ordered) as scorer:
        for i, example in enumerate(examples):
            verdict, text = _judge(scorer, example, predictions[i] if i < len(predictions) else None)
            scored.append(Scored(example, scorer.gold(example), {SIDE: verdict}, {SIDE: text}))
            if on_progress and i % 256 == 0:
                on_progress(i, len(examples))
    return ScoredFile(scored, max(0, len(examples) - len(predictions)), max(0, len(predictions) - len(examples)))


def _judge(scorer: Scorer, example: Example, prediction: Prediction | None) -> tuple[Verdict, str]:
    if prediction is None:
        return failed(scorer.gold(example), Outcome.missing, "the file has no line for this question"), ""
    if prediction.kind == "sql":
        return scorer.score(example, prediction.value), prediction.value
    if prediction.kind == "query":
        return scorer.score_query(example, prediction.value), _as_text(prediction.value, example)
    why = f"the line says: {str(prediction.value)[:500]}" if prediction.kind == "error" else "the line holds no query"
    return failed(scorer.gold(example), Outcome.missing, why), ""


def _as_text(query: Any, example: Example) -> str:
    """A raw query as SQL for the eye, or as it stands if SQL cannot say it."""
    try:
        return render(strict_form(query), example.schema.table)
    except SQLError:
        return json.dumps(query, ensure_ascii=False)


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a JSON Lines file in order; a :class:`DataError` names the first malformed line."""
    try:
        with path.open("rb") as file:
            predictions = [_prediction(path, number, line) for number, line in raw_lines(file)]
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{path}: {why}; expected predictions, one JSON object a line") from None
    if not predictions:
        raise DataError(f"{path}: is empty; expected predictions, one JSON object a line")
    return predictions


def _prediction(path: Path, number: int, line: bytes) -> Prediction:
    fail = raising(path)
    if len(line) > MAX_LINE_BYTES:
        fail(number, f"longer than {MAX_LINE_BYTES} bytes")
    try:
        raw = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        fail(number, f"not UTF-8 (byte {error.start + 1}); save it as UTF-8")
    except (ValueError, RecursionError) as error:
        # Python's own reader, as in the official script: what it takes inside a query is a wrong answer, no more.
        fail(number, f"not JSON: {str(error).split(' (')[0]}; expected one object a line")
    if not isinstance(raw, dict):
        fail(number, f"expected an object with one of {', '.join(KINDS)}, found {json_type(raw)}")
    unknown = [key for key in raw if not any(key == kind for kind in KINDS)]
    if unknown and not any(kind in raw for kind in KINDS):
        fail(number, f"found {unknown[0]!r}{suggest(unknown[0], KINDS)}; expected one of {', '.join(KINDS)}")
    return _kind(raw, number, fail)


def _kind(raw: dict[str, Any], number: int, fail: Callable[[int, str], Any]) -> Prediction:
    if raw.get("error"):
        return Prediction("error", raw["error"])
    query, sql = raw.get("query"), raw.get("sql")
    if query is not None and sql is not None:
        fail(number, "both query and sql; a prediction is one of them")
    if sql is not None and not isinstance(sql, str):
        fail(number, f"field 'sql': expected a string, found {json_type(sql)}")
    if sql is not None:
        return Prediction("sql", sql)
    return Prediction("query", query) if query is not None else Prediction("nothing")


def read_golds(root: Path, split: str) -> list[Example]:
    """The questions of ``split`` in the file's order, also those whose gold query SQL cannot say.

    Only that split's files need to exist. Unlike the pipelines, which refuse an index that is out of range, a scorer
    keeps such golds: they are listed with their fault.
    """
    folder, faults = data_folder(root, split), Faults()
    tables = read_tables(folder, split, lambda _: "table", faults).good
    path = folder / f"{split}.jsonl"
    examples = []
    for number, record in objects(path, faults.report(path)):
        table = tables.get(str(record.get("table_id")))
        try:
            form = strict_form(record.get("sql"))
        except SQLError as error:
            faults.add(path, number, f"field 'sql': {error}")
            continue
        if table is None or not isinstance(record.get("question"), str):
            faults.add(path, number, f"field 'table_id' or 'question' is missing, or no table of {split}.tables.jsonl")
            continue
        sql = _gold_text(form, table.schema.table)
        examples.append(Example(f"{split}-{number - 1}", record["question"], table.schema, sql, form, table.source))
    faults.settle(folder)
    return examples


def _gold_text(form: LogicalForm, table: Any) -> str:
    try:
        return render(form, table)
    except SQLError:
        return json.dumps(form.to_dict(), ensure_ascii=False)


def json_line(index: int, line: dict[str, Any]) -> dict[str, Any]:
    """One line of ``t2s score --json``: the verdict flat, then the question."""
    answer = line[SIDE]
    verdict = {key: answer[key] for key in ("ex", "lf", "repaired_ex", "outcome", "detail", "sql", "form", "ran")}
    about = {key: line[key] for key in ("id", "question", "category", "facets", "gold", "gold_faults")}
    return {"index": index} | verdict | about
