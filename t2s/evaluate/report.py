"""The page of one evaluation: ``report.html``, one file that opens offline, from its results and lines.

Nothing in it is trusted: questions, names and values come from files, SQL from a model. Everything passes jinja2's
autoescape and :func:`~t2s.evaluate.text.visible`; the page has no script, and its policy forbids to load anything.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s.errors import ConfigError
from t2s.evaluate.confusion import PARTS
from t2s.evaluate.faults import FAULTS
from t2s.evaluate.table import ALL_METRICS, METRIC_NAMES, Line, Row, percent
from t2s.evaluate.text import visible

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = Path(__file__).with_name("report.html.j2")
MAX_EXAMPLES = 40
"""Answers shown in full; all of them are in ``predictions.jsonl``."""

FACET_TITLES = {
    "conditions": "number of conditions",
    "operator": "operator",
    "aggregation": "aggregation",
    "column_type": "type of the selected column",
}


def write_report(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    results: Mapping[str, Any],
    lines: Sequence[Line],
    sides: Sequence[str],
    notes: Sequence[str] = (),
) -> None:
    """Write the page; a :class:`ConfigError` if ``path`` cannot be written."""
    page = render_report(title, facts, results, lines, sides, notes)
    try:
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from None


def render_report(
    title: str,
    facts: Mapping[str, str],
    results: Mapping[str, Any],
    lines: Sequence[Line],
    sides: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """The page as text. ``results`` is what :func:`t2s.evaluate.results.results_of` gives."""
    overall = results["table"][-1]
    return (
        _environment()
        .get_template(TEMPLATE.name)
        .render(
            title=title,
            facts=facts,
            notes=notes,
            sides=list(sides),
            metrics=[(metric, METRIC_NAMES[metric]) for metric in ALL_METRICS],
            headline=[_headline(overall, metric, sides) for metric in ALL_METRICS],
            tables=_tables(results),
            comparisons=_comparisons(results, sides),
            outcomes=_outcomes(results, sides),
            confusions=[
                _confusion(results, side, part) for side in sides for part in PARTS if side in results["confusion"]
            ],
            faults=[(name, FAULTS[name], n) for name, n in results["gold_faults"]["counts"].items() if n],
            listed=results["gold_faults"]["listed"][:MAX_EXAMPLES],
            num_listed=len(results["gold_faults"]["listed"]),
            ran=results["ran"],
            examples=[_example(line, sides) for line in worst(lines, sides)],
            num_lines=len(lines),
        )
    )


def worst(lines: Sequence[Line], sides: Sequence[str], most: int = MAX_EXAMPLES) -> list[Line]:
    """The answers of the last side that are wrong: first what the other side had right, then each outcome in turn."""
    side = sides[-1]
    groups: dict[tuple[bool, str], list[Line]] = {}
    for line in lines:
        mark = line[side]["ex"] if line[side]["ex"] is not None else line[side]["lf"]
        if not mark and line[side]["outcome"] != "not_measurable":
            lost = any(line[other]["ex"] for other in sides[:-1])
            groups.setdefault((not lost, line[side]["outcome"]), []).append(line)
    queues = [groups[key] for key in sorted(groups)]
    chosen: list[Line] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return sorted(chosen[:most], key=lambda line: (not any(line[o]["ex"] for o in sides[:-1]), line[side]["outcome"]))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def shown(value: Any) -> Any:
        # A subclass of str is markup that jinja2 has escaped already.
        return visible(value) if type(value) is str else value

    return Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _headline(overall: Row, metric: str, sides: Sequence[str]) -> dict[str, Any]:
    return {"name": METRIC_NAMES[metric], "cells": [(side, _cell(overall[metric].get(side))) for side in sides]}


def _cell(value: Mapping[str, float] | None) -> dict[str, Any] | None:
    """A measured share in percent, for text and for the bar beside it."""
    if value is None:
        return None
    numbers = {key: round(100 * value[key], 2) for key in ("accuracy", "low", "high")}
    interval = f"{100 * value['low']:.1f}–{100 * value['high']:.1f}"
    return numbers | {"text": percent(dict(value), False), "interval": interval, "n": int(value["n"])}


def _tables(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    measured = any(value for key, value in results["table"][-1]["ex"].items() if key != "change")
    main = [*results["table"], *([results["without_empty_golds"]] if measured else [])]
    named = [("By category", "category", main)]
    named += [(f"By {FACET_TITLES[f]}", FACET_TITLES[f], rows) for f, rows in results["facets"].items()]
    return [{"title": title, "head": head, "rows": [_row(row) for row in rows]} for title, head, rows in named]


def _row(row: Row) -> dict[str, Any]:
    cells = {
        metric: {side: _cell(value) for side, value in row[metric].items() if side != "change"}
        for metric in ALL_METRICS
    }
    return {"name": row["category"].replace("_", " "), "n": row["n"], "cells": cells}


def _comparisons(results: Mapping[str, Any], sides: Sequence[str]) -> list[dict[str, Any]]:
    if len(sides) != 2:
        return []
    return [
        {"metric": METRIC_NAMES[metric], "category": category.replace("_", " "), **values}
        for metric, by_category in results["comparison"].items()
        for category, values in by_category.items()
    ]


def _outcomes(results: Mapping[str, Any], sides: Sequence[str]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for side in sides for name in results["outcomes"].get(side, {})))
    total = {side: sum(results["outcomes"].get(side, {}).values()) or 1 for side in sides}
    rows = []
    for name in names:
        counts = {side: results["outcomes"].get(side, {}).get(name, 0) for side in sides}
        shares = {side: round(100 * count / total[side], 1) for side, count in counts.items()}
        rows.append({"name": name, "counts": counts, "shares": shares})
    return rows


def _confusion(results: Mapping[str, Any], side: str, part: str) -> dict[str, Any]:
    matrix: dict[str, dict[str, int]] = results["confusion"][side][part]
    labels = list(dict.fromkeys(label for row in matrix.values() for label in row))
    labels.sort(key=lambda label: (label not in matrix, label))
    rows = [
        (gold, sum(row.values()), [(row.get(p, 0), _shade(row, p), p == gold) for p in labels])
        for gold, row in matrix.items()
    ]
    return {"side": side, "title": PARTS[part], "labels": labels, "rows": rows}


def _shade(row: Mapping[str, int], label: str) -> float:
    return round(row.get(label, 0) / max(1, sum(row.values())), 3)


def _example(line: Line, sides: Sequence[str]) -> dict[str, Any]:
    answers = [(side, line[side], _rows(line[side]["rows"])) for side in reversed(list(sides))]
    return {"line": line, "gold_rows": _rows(line["gold_rows"]), "answers": answers}


def _rows(shown: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    texts = [[_value(value) for value in row] for row in shown["first"]]
    return {"rows": texts, "more": shown["total"] - len(texts), "total": shown["total"]}


def _value(value: Any) -> tuple[str, str]:
    """A cell as text and its kind, since 5 and '5' are different values that look alike."""
    if value is None:
        return "NULL", "null"
    return str(value), "text" if isinstance(value, str) else "number"


def facts_of(pairs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """The facts that are known, as text."""
    return {name: str(value) for name, value in pairs if value is not None and value != ""}
