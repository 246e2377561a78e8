"""The table of results: category × (base, tuned, change) for execution and logical-form accuracy.

Accuracy is over all questions of a category; an answer that does not parse, fails or times out is wrong. EX is over the
questions whose gold query can be executed, and absent where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from t2s.evaluate.statistics import wilson

METRICS = ("ex", "lf")
"""The columns of the printed table; ``repaired_ex`` is in the rows too."""
CATEGORY_ORDER = ("simple_select", "aggregation", "where_filters", "other")


def summarize(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``{"category", "n", "ex": {"n", "base", "tuned", "change"}, "lf": {...}}``; the last is ``overall``.

    ``base`` and ``tuned`` are ``{"accuracy", "low", "high"}`` with 95% Wilson bounds, or None if not measured.
    """
    present = [c for c in CATEGORY_ORDER if any(line["category"] == c for line in lines)]
    rows = [_row(category, [line for line in lines if line["category"] == category]) for category in present]
    return [*rows, _row("overall", lines)]


def outcomes(lines: Iterable[dict[str, Any]], side: str) -> dict[str, int]:
    """How often each outcome (correct, wrong, parse_error, ...) came up on one side."""
    counts: dict[str, int] = {}
    for line in lines:
        if side in line:
            counts[line[side]["outcome"]] = counts.get(line[side]["outcome"], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _row(category: str, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"category": category, "n": len(lines)} | {
        metric: _cell(lines, metric) for metric in (*METRICS, "repaired_ex")
    }


def _cell(lines: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    cell: dict[str, Any] = {side: _accuracy(lines, side, metric) for side in ("base", "tuned")}
    both = cell["base"] and cell["tuned"]
    change = cell["tuned"]["accuracy"] - cell["base"]["accuracy"] if both else None
    return cell | {"change": change}


def _accuracy(lines: Sequence[dict[str, Any]], side: str, metric: str) -> dict[str, float] | None:
    verdicts = [line[side][metric] for line in lines if side in line and line[side][metric] is not None]
    if not verdicts:
        return None
    low, high = wilson(sum(verdicts), len(verdicts))
    return {"accuracy": sum(verdicts) / len(verdicts), "low": low, "high": high, "n": len(verdicts)}


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown, in percent, with intervals."""
    names = ("category", "n", "EX base", "EX tuned", "change", "LF base", "LF tuned", "change")
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}"
    return "\n".join([head, *("| " + " | ".join(cells(row, intervals=True)) + " |" for row in rows)])


def cells(row: dict[str, Any], intervals: bool = False) -> list[str]:
    """One row as texts: category, n, then base, tuned and change for EX and LF."""
    texts = [row["category"].replace("_", " "), str(row["n"])]
    for metric in METRICS:
        cell = row[metric]
        texts += [_percent(cell["base"], intervals), _percent(cell["tuned"], intervals)]
        texts.append("–" if cell["change"] is None else f"{100 * cell['change']:+.1f}")
    return texts


def _percent(value: dict[str, float] | None, interval: bool) -> str:
    if value is None:
        return "–"
    bounds = f" ({100 * value['low']:.1f}–{100 * value['high']:.1f})" if interval else ""
    return f"{100 * value['accuracy']:.1f}{bounds}"
