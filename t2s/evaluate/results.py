"""Scored questions to results: the tables, comparisons, confusions and fault counts of ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t2s.evaluate.confusion import confusions
from t2s.evaluate.faults import count_faults
from t2s.evaluate.lines import Scored
from t2s.evaluate.table import Line, comparisons, facet_tables, outcomes, summarize, without_empty


def results_of(scored: Sequence[Scored], lines: Sequence[Line], sides: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Everything that is counted over ``scored`` (and ``lines``, the same as JSON), for these sides.

    ``table`` has a place for each of ``sides``; ``comparison`` is the last of two against the first.
    """
    return {
        "table": summarize(lines, sides),
        "without_empty_golds": without_empty(lines, sides),
        "facets": facet_tables(lines, sides),
        "comparison": comparisons(lines, sides, seed),
        "outcomes": {side: outcomes(lines, side) for side in sides if any(side in line for line in lines)},
        "confusion": {side: _confusions(scored, side) for side in sides if any(side in s.verdicts for s in scored)},
        "gold_faults": count_faults((s.example.id, s.gold.faults, s.gold.problem) for s in scored),
        "ran": {side: _ran(scored, side) for side in sides if any(side in s.verdicts for s in scored)},
    }


def _confusions(scored: Sequence[Scored], side: str) -> dict[str, Any]:
    return confusions((s.gold.form, s.verdicts[side].form, s.example.schema) for s in scored if side in s.verdicts)


def _ran(scored: Sequence[Scored], side: str) -> dict[str, int]:
    """How many answers our own rendering executed, and how many the sandbox."""
    counts: dict[str, int] = {}
    for one in scored:
        if side in one.verdicts:
            ran = str(one.verdicts[side].ran)
            counts[ran] = counts.get(ran, 0) + 1
    return counts
