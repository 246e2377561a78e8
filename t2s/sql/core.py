"""The nouns of the language: columns, tables, schemas and WikiSQL's logical form.

The logical form ``{sel, agg, conds}`` and its index tables are those of WikiSQL (Zhong et al. 2017,
https://arxiv.org/abs/1709.00103; ``lib/query.py`` of salesforce/WikiSQL).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from t2s.errors import SQLError

AGGREGATIONS = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
"""``LogicalForm.agg`` indexes this tuple; 0 is no aggregation."""

OPERATORS = ("=", ">", "<")
"""``Condition.op`` indexes this tuple. The official table has a fourth entry, ``OP``, that no query uses."""

Value = str | int | float
"""What a condition compares with. WikiSQL keeps numbers as numbers or strings, whatever the column's type."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as the user wrote it, and its type (``text`` or ``real`` in WikiSQL).

    ``samples`` are values for a prompt that shows some. They are no part of what a column *is*: columns that differ
    in them alone are equal, so that grammars and parsers are built once.
    """

    name: str
    type: str = "text"
    samples: tuple[Value, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """One table as the model sees it: a name and its columns in order (at least one)."""

    name: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise SQLError(f"table {self.name!r} has no columns")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``table.column`` refers to ``other_table.other_column``."""

    table: str
    column: str
    other_table: str
    other_column: str


@dataclass(frozen=True, slots=True)
class Schema:
    """One or more tables, and the keys between them. WikiSQL schemas have exactly one table."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()

    def __post_init__(self) -> None:
        if not self.tables:
            raise SQLError("a schema needs at least one table")

    @property
    def table(self) -> Table:
        """The only table; a :class:`SQLError` if there are several."""
        if len(self.tables) != 1:
            raise SQLError(f"expected a schema of one table, found {len(self.tables)}")
        return self.tables[0]


@dataclass(frozen=True, slots=True)
class Condition:
    """``columns[column] OPERATORS[op] value``."""

    column: int
    op: int
    value: Value


@dataclass(frozen=True, slots=True)
class LogicalForm:
    """``SELECT AGGREGATIONS[agg](columns[sel]) ... WHERE`` all of ``conds``.

    Indices are not checked here: a prediction may be out of range, and saying so is the scorer's task.
    """

    sel: int
    agg: int
    conds: tuple[Condition, ...] = field(default=())

    @classmethod
    def from_dict(cls, raw: Any) -> LogicalForm:
        """Read ``{"sel": int, "agg": int, "conds": [[column, op, value], ...]}``; raise :class:`SQLError`."""
        try:
            conds = tuple(Condition(int(c), int(o), v) for c, o, v in raw["conds"])
            return cls(sel=int(raw["sel"]), agg=int(raw["agg"]), conds=conds)
        except (KeyError, TypeError, ValueError) as error:
            raise SQLError(f"not a logical form {{sel, agg, conds}}: {raw!r} ({error})") from error

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`."""
        return {
            "sel": self.sel,
            "agg": self.agg,
            "conds": [[c.column, c.op, c.value] for c in self.conds],
        }
