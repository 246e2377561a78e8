"""When two results of a user's own database are the same, and how they differ when they are not.

Rows are compared as a multiset, so that duplicates count; where the gold query orders, also in its order, up to the
ties of its ORDER BY. Columns are compared by position. 1, 1.0 and TRUE are equal; '1' is another value; text keeps
its case. Floating-point numbers are equal to 12 significant digits, because a sum depends on the order in which a
plan adds. WikiSQL's own rule, equality of lists, is not this one: it is in :mod:`t2s.evaluate.score`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

Row = tuple[Any, ...]


def same_rows(predicted: Sequence[Row], gold: Sequence[Row], blocks: Sequence[int] | None) -> bool:
    """Whether ``predicted`` is the gold's result; ``blocks`` are the sizes of its ties, None if order is free."""
    if len(predicted) != len(gold):
        return False
    if blocks is None:
        return Counter(map(_plain, predicted)) == Counter(map(_plain, gold))
    assert sum(blocks) == len(gold), "every row of the gold belongs to one tie"
    pairs = zip(_cut(predicted, blocks), _cut(gold, blocks), strict=True)
    return all(Counter(map(_plain, one)) == Counter(map(_plain, other)) for one, other in pairs)


def difference(predicted: Sequence[Row], gold: Sequence[Row], blocks: Sequence[int] | None) -> str:
    """One clause on how a wrong result differs, for whoever reads the report."""
    if not predicted:
        return "it finds nothing"
    ours, theirs = Counter(map(_plain, predicted)), Counter(map(_plain, gold))
    if ours == theirs:
        return "the same rows, in another order than the gold's ORDER BY" if blocks is not None else ""
    if ours.keys() == theirs.keys():
        return "the same rows, but not as often: duplicates count"
    if Counter(_any_order(row) for row in predicted) == Counter(_any_order(row) for row in gold):
        return "the same rows, with their columns in another order"
    if Counter(_as_text(row) for row in predicted) == Counter(_as_text(row) for row in gold):
        return "the same values up to case and type (text or number)"
    if len(predicted[0]) != len(gold[0] if gold else predicted[0]):
        return f"{len(predicted[0])} columns instead of {len(gold[0])}"
    return f"{len(predicted)} rows, the gold has {len(gold)}, {(ours & theirs).total()} of them the same"


def _plain(row: Row) -> Row:
    return tuple(_number(value) if isinstance(value, float) else value for value in row)


def _number(value: float) -> float | str:
    # NaN differs from itself, and so would a result that is nothing else.
    return "not a number" if math.isnan(value) else float(f"{value:.12g}")


def _any_order(row: Row) -> tuple[str, ...]:
    return tuple(sorted(map(repr, _plain(row))))


def _as_text(row: Row) -> tuple[str, ...]:
    return tuple(f"{v:g}" if isinstance(v, int | float) else str(v).casefold() for v in _plain(row))


def _cut(rows: Sequence[Row], sizes: Sequence[int]) -> Iterator[Sequence[Row]]:
    at = 0
    for size in sizes:
        yield rows[at : at + size]
        at += size
