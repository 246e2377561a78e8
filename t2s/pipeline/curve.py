"""The learning curve of a training as the coordinates of an SVG drawing: loss by step, and the validation's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 760, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 30
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """What the page's template draws; all numbers are finite."""

    train: str
    """``x,y x,y ...``"""
    val: list[tuple[float, float]]
    val_line: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def draw_curve(rows: Sequence[dict[str, Any]]) -> Curve | None:
    """The curve of a journal's lines; None if they hold no loss."""
    train, val = _series(rows, "loss"), _series(rows, "eval_loss")
    if not train and not val:
        return None
    steps = [step for step, _ in (*train, *val)]
    values = [value for _, value in (*train, *val)]
    x_low, x_high = min(steps), max(max(steps), min(steps) + 1)
    y_low, y_high = _widened(min(values), max(values))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (point[0] - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = TOP + (y_high - point[1]) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    return Curve(
        train=_line([at(point) for point in train]),
        val=[at(point) for point in val],
        val_line=_line([at(point) for point in val]),
        x_ticks=[
            (at((x, y_low))[0], f"{x:.0f}") for x in dict.fromkeys(round(_between(x_low, x_high, i)) for i in range(5))
        ],
        y_ticks=[(at((x_low, y))[1], f"{y:.3g}") for y in (_between(y_low, y_high, i) for i in range(5))],
    )


def _series(rows: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    found = [(row["step"], row.get(name)) for row in rows]
    return [(float(step), float(value)) for step, value in found if value is not None and math.isfinite(value)]


def _between(low: float, high: float, part: int) -> float:
    return low + part * (high - low) / 4


def _widened(low: float, high: float) -> tuple[float, float]:
    """A little room above and below; a loss never falls under zero."""
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return max(0.0, low - room) if low >= 0 else low - room, high + room


def _line(points: Points) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
