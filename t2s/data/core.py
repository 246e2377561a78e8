"""The nouns of the data room: one example, and what every pipeline must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from t2s.sql.core import LogicalForm, Schema


@dataclass(frozen=True, slots=True)
class TableRef:
    """Where the rows of a WikiSQL-shaped table are: a ``.db`` in the official layout.

    The database holds the table as ``table_<id with - replaced by _>`` with columns ``col0..colN``.
    """

    database: Path
    table_id: str


@dataclass(frozen=True, slots=True)
class Example:
    """One question over one schema, and its gold query.

    ``logical_form`` is set for WikiSQL-shaped data. ``source`` says where the rows are: a
    :class:`TableRef` for the official layout, the path of a SQLite file whose tables carry the
    schema's own names, or None if there are no rows, and execution accuracy cannot be measured.
    """

    id: str
    question: str
    schema: Schema
    sql: str
    logical_form: LogicalForm | None = None
    source: TableRef | Path | None = None


Splits = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]
"""(train, validation, test)."""


class Pipeline(Protocol):
    """Any class with this method is a data set. It is built with the keywords of ``data.options``."""

    def prepare(self) -> Splits:
        """Return (train, val, test); the three share no table."""
        ...
