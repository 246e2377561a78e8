"""The tables of results: category × (each side, change) for execution and logical-form accuracy.

Accuracy is over all questions of a category; an answer that does not parse, fails or times out is wrong. EX is over the
questions whose gold query can be executed, LF over those whose gold has a logical form, and absent where there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from t2s.evaluate.categories import FACETS
from t2s.evaluate.faults import EMPTY
from t2s.evaluate.paired import paired
from t2s.evaluate.statistics import wilson

SIDES = ("base", "tuned")
METRICS = ("ex", "lf")
"""The columns of the printed table of an evaluation; ``repaired_ex`` is in the rows too."""
ALL_METRICS = (*METRICS, "repaired_ex")
METRIC_NAMES = {"ex": "EX", "lf": "LF", "repaired_ex": "repaired EX"}
WITHOUT_FORM = "other"
"""The category of golds without a logical form."""
CATEGORY_ORDER = ("simple_select", "aggregation", "where_filters", WITHOUT_FORM)

Line = dict[str, Any]
Row = dict[str, Any]


def summarize(lines: Sequence[Line], sides: Sequence[str] = SIDES) -> list[Row]:
    """Rows of ``{"category", "n", "ex": {side: ..., "change"}, "lf": {...}}``; the last is ``overall``.

    A side is ``{"accuracy", "low", "high", "n"}`` with 95% Wilson bounds, or None if not measured. ``change`` is the
    last side minus the first, None unless there are two.
    """
    present = [c for c in CATEGORY_ORDER if any(line["category"] == c for line in lines)]
    rows = [_row(category, [line for line in lines if line["category"] == category], sides) for category in present]
    return [*rows, _row("overall", lines, sides)]


def facet_tables(lines: Sequence[Line], sides: Sequence[str] = SIDES) -> dict[str, list[Row]]:
    """The finer tables, as those of :func:`summarize`, by facet: number of conditions, operator, ..."""
    return {facet: _grouped(lines, lambda line, facet=facet: line["facets"][facet], sides) for facet in FACETS}  # type: ignore[misc]


def without_empty(lines: Sequence[Line], sides: Sequence[str] = SIDES) -> Row:
    """The overall row over the golds that return something: no empty answer can be right by chance there."""
    return _row("without empty golds", [line for line in lines if not EMPTY & set(line["gold_faults"])], sides)


def comparisons(lines: Sequence[Line], sides: Sequence[str], seed: int = 0) -> dict[str, dict[str, Any]]:
    """The last side against the first: metric to category to :class:`~t2s.evaluate.paired.Paired`, as plain values."""
    if len(sides) != 2:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for metric in ALL_METRICS:
        for category in (*CATEGORY_ORDER, "overall"):
            pairs = [
                (line[sides[1]][metric], line[sides[0]][metric])
                for line in lines
                if category in (line["category"], "overall") and all(_has(line, side, metric) for side in sides)
            ]
            result = paired(pairs, seed)
            if result:
                found.setdefault(metric, {})[category] = result.to_dict()
    return found


def outcomes(lines: Iterable[Line], side: str) -> dict[str, int]:
    """How often each outcome (correct, wrong, parse_error, ...) came up on one side, most frequent first."""
    return dict(Counter(line[side]["outcome"] for line in lines if side in line).most_common())


def _grouped(lines: Sequence[Line], key: Callable[[Line], str], sides: Sequence[str]) -> list[Row]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return [_row(value, groups[value], sides) for value in sorted(groups, key=_value_order)]


def _value_order(value: str) -> tuple[bool, int, str]:
    """Numbers by size, words by letter, what has no value last."""
    return value in ("none", "other", "out of range"), int(value) if value.isdigit() else 0, value


def _row(category: str, lines: Sequence[Line], sides: Sequence[str]) -> Row:
    return {"category": category, "n": len(lines)} | {metric: _cell(lines, metric, sides) for metric in ALL_METRICS}


def _cell(lines: Sequence[Line], metric: str, sides: Sequence[str]) -> dict[str, Any]:
    cell: dict[str, Any] = {side: _accuracy(lines, side, metric) for side in sides}
    first, last = cell[sides[0]], cell[sides[-1]]
    both = len(sides) == 2 and first and last
    return cell | {"change": last["accuracy"] - first["accuracy"] if both else None}


def _accuracy(lines: Sequence[Line], side: str, metric: str) -> dict[str, float] | None:
    verdicts = [line[side][metric] for line in lines if _has(line, side, metric) and line[side][metric] is not None]
    if not verdicts:
        return None
    low, high = wilson(sum(verdicts), len(verdicts))
    return {"accuracy": sum(verdicts) / len(verdicts), "low": low, "high": high, "n": len(verdicts)}


def _has(line: Line, side: str, metric: str) -> bool:
    return side in line and not (metric == "lf" and line["category"] == WITHOUT_FORM)


def header(sides: Sequence[str] = SIDES, metrics: Sequence[str] = METRICS) -> list[str]:
    """The column names that belong to :func:`cells`."""
    names = ["category", "n"]
    for metric in metrics:
        name = METRIC_NAMES[metric]
        names += [f"{name} {side}" for side in sides] + ["change"] if len(sides) == 2 else [name]
    return names


def to_markdown(rows: Sequence[Row], sides: Sequence[str] = SIDES, metrics: Sequence[str] = METRICS) -> str:
    """The table in Markdown, in percent, with intervals."""
    names = header(sides, metrics)
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}"
    body = ("| " + " | ".join(cells(row, True, sides, metrics)) + " |" for row in rows)
    return "\n".join([head, *body])


def cells(
    row: Row, intervals: bool = False, sides: Sequence[str] = SIDES, metrics: Sequence[str] = METRICS
) -> list[str]:
    """One row as texts: category, n, then each side and the change, for each metric."""
    texts = [row["category"].replace("_", " "), str(row["n"])]
    for metric in metrics:
        cell = row[metric]
        texts += [percent(cell[side], intervals) for side in sides]
        if len(sides) == 2:
            texts.append("–" if cell["change"] is None else f"{100 * cell['change']:+.1f}")
    return texts


def percent(value: dict[str, float] | None, interval: bool) -> str:
    """``47.5`` or ``47.5 (40.7–54.4)``; a dash for what was not measured."""
    if value is None:
        return "–"
    bounds = f" ({100 * value['low']:.1f}–{100 * value['high']:.1f})" if interval else ""
    return f"{100 * value['accuracy']:.1f}{bounds}"
