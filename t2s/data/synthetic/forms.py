"""Draw a logical form over a table.

The stated difficulty: 25% without a condition, 50% with one, 20% with two, 5% with three; 35% aggregate.
Conditions never repeat a column nor use the selected one (the official engine corrupts repeated columns).
They hold for at least one row and mostly not for all: a gold query finds something and filters something.
"""

from __future__ import annotations

from random import Random

from t2s.data.synthetic.tables import DrawnTable
from t2s.data.synthetic.values import whole
from t2s.sql.core import AGGREGATIONS, Condition, LogicalForm, Value

NUM_CONDITIONS = (0,) * 5 + (1,) * 10 + (2,) * 4 + (3,)
"""The deck that the number of conditions is dealt from."""
AGGREGATED = (0.60, 0.32, 0.20, 0.10)
"""The share of aggregations by number of conditions; 0.355 in all."""


def draw_form(rng: Random, table: DrawnTable, num_conditions: int) -> LogicalForm:
    """A logical form that finds something in ``table``."""
    others = [at for at in range(len(table.specs)) if at != table.key]
    aggregate = rng.random() < AGGREGATED[num_conditions]
    sel, agg = draw_aggregation(rng, table) if aggregate else (rng.randrange(len(table.specs)), 0)
    if len(others) - (sel in others) < num_conditions:
        sel, agg = table.key, AGGREGATIONS.index("COUNT") if aggregate else 0
    if num_conditions == 1 and not aggregate and sel != table.key and rng.random() < 0.45:
        chosen = [table.key]
    else:
        chosen = rng.sample([at for at in others if at != sel], num_conditions)
    row = rng.choice(table.rows)
    return LogicalForm(sel, agg, tuple(draw_condition(rng, table, at, row[at]) for at in chosen))


def draw_aggregation(rng: Random, table: DrawnTable) -> tuple[int, int]:
    """A selected column and an aggregation that makes sense for it."""
    numbers = [at for at, spec in enumerate(table.specs) if spec.type == "real"]
    if not numbers or rng.random() < 0.3:
        counted = [at for at, spec in enumerate(table.specs) if spec.type == "text"]
        return (table.key if rng.random() < 0.75 else rng.choice(counted)), AGGREGATIONS.index("COUNT")
    sel = rng.choice(numbers)
    return sel, AGGREGATIONS.index(rng.choice(table.specs[sel].aggs))


def draw_condition(rng: Random, table: DrawnTable, column: int, held: Value) -> Condition:
    """A condition on ``column`` that the row with the value ``held`` meets."""
    values = [value for value in table.values(column) if not isinstance(value, str)]
    if isinstance(held, str) or rng.random() < 0.35 or min(values) == max(values):
        return Condition(column, 0, held)
    op = 1 if held == max(values) else 2 if held == min(values) else rng.choice((1, 2))
    digits = table.specs[column].maker.digits
    room = held - min(values) if op == 1 else max(values) - held
    gap = max(10.0**-digits, rng.uniform(0.1, 0.9) * room)
    return Condition(column, op, rounded(held - gap if op == 1 else held + gap, gap, digits, above=op == 2))


def rounded(limit: float, gap: float, digits: int, above: bool) -> int | float:
    """``limit`` as a person says it: coarse beside ``gap`` and itself, moved away from the held value."""
    step = 10.0**-digits
    while step * 10 <= min(gap, limit) / 2:
        step *= 10
    units = round(limit / step, 6)
    steps = -(-units // 1) if above else units // 1
    return whole(round(max(0.0, steps * step), digits))
