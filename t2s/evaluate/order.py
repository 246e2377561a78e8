"""Which rows of an ordered gold result may change places: those that its ORDER BY does not tell apart.

The gold query is run once more with its keys beside its columns. Where that cannot be done (DISTINCT, UNION, a key
that gives an error), every row has its own place, which is the stricter rule. Not covered: which of several tied rows
a LIMIT keeps; the gold's own are then the only right ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlglot import exp

from t2s.errors import SQLError
from t2s.sql.syntax import ParseFailure

Row = tuple[Any, ...]
Run = Callable[[str], Sequence[Row]]


def tie_blocks(tree: exp.Expr, rows: Sequence[Row], run: Run, dialect: str) -> tuple[int, ...] | None:
    """The sizes of the runs of tied rows in ``rows``, the result of ``tree``; None if it does not order.

    ``run`` executes SQL; it may raise :class:`SQLError`.
    """
    order = tree.args.get("order")
    if order is None:
        return None
    alone = (1,) * len(rows)
    keyed = _with_keys(tree, [item.this for item in order.expressions])
    if keyed is None or not rows:
        return alone
    try:
        found = run(keyed.sql(dialect=dialect))
    except (SQLError, ParseFailure):
        return alone
    width = len(rows[0])
    if [row[:width] for row in found] != list(rows):
        return alone
    return tuple(len(list(group)) for _, group in groupby(row[width:] for row in found))


def limits_without_order(tree: exp.Expr) -> bool:
    """Whether the database may choose which rows it returns: a LIMIT and no ORDER BY."""
    return tree.args.get("limit") is not None and tree.args.get("order") is None


def _with_keys(tree: exp.Expr, keys: Sequence[exp.Expr]) -> exp.Select | None:
    """``tree`` with the keys as further columns, or None if they cannot stand there."""
    if not isinstance(tree, exp.Select) or tree.args.get("distinct") is not None:
        return None
    named = {projection.alias_or_name.casefold(): projection for projection in tree.expressions}
    keyed = tree.copy()
    for key in keys:
        resolved = _resolve(key, tree.expressions, named)
        if resolved is None:
            return None
        # The copies stand behind the columns, so that ORDER BY 2 still means the second.
        keyed.append("expressions", resolved.copy())
    return keyed


def _resolve(key: exp.Expr, projections: Sequence[exp.Expr], named: dict[str, exp.Expr]) -> exp.Expr | None:
    """What a key stands for: a number for a column of the result, a name for an alias, anything else itself."""
    if isinstance(key, exp.Literal) and not key.is_string:
        position = int(key.name) - 1 if key.name.isdigit() else -1
        if not 0 <= position < len(projections) or any(isinstance(p, exp.Star) for p in projections):
            return None
        return projections[position].unalias()
    if isinstance(key, exp.Column) and not key.table and key.name.casefold() in named:
        return named[key.name.casefold()].unalias()
    return key
