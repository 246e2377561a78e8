"""Execution-guided decoding: candidates run, those that fail are dropped, and the likeliest *result* is the answer.

After Wang et al. 2018 (arXiv:1807.03100), over whole queries: candidates with the same result are one, with the sum of
their probabilities. If none runs, or there is nothing to run on, the likeliest candidate is the answer. It reads the
table's rows, which a prompt does not: a regime of its own in every score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from t2s.data.core import TableRef
from t2s.errors import SQLError
from t2s.generate.core import Generation, Request
from t2s.sql.official import physical_name
from t2s.sql.rebind import rebind
from t2s.sql.sandbox import Limits, Sandbox
from t2s.sql.sandbox.outcome import Cell

ResultKey = tuple[str, ...]
_LIMITS = Limits(timeout_s=2.0, max_rows=1000)


class Judge:
    """Runs candidates in a sandbox of its own."""

    def __init__(self, drop_empty: bool) -> None:
        self._drop_empty = drop_empty
        self._sandbox: Sandbox | None = None

    def choose(self, request: Request, candidates: Sequence[tuple[Generation, float]]) -> Generation:
        """The answer among ``candidates``, each with its log-probability, the best first."""
        finished = [one for one in candidates if one[0].finished] or list(candidates)
        distinct = {generation.sql: (generation, score) for generation, score in reversed(finished)}
        mass: dict[ResultKey, float] = {}
        first: dict[ResultKey, Generation] = {}
        for generation, score in sorted(distinct.values(), key=lambda one: -one[1]):
            result = self._result(request, generation.sql)
            if result is not None:
                mass[result] = mass.get(result, 0.0) + math.exp(score)
                first.setdefault(result, generation)
        return first[max(mass, key=lambda result: mass[result])] if mass else finished[0][0]

    def _result(self, request: Request, sql: str) -> ResultKey | None:
        """What identifies the rows of ``sql``, in any order; None if it is to be dropped."""
        if request.source is None:
            return None
        try:
            rows = self._run(request, request.source, sql)
        except SQLError:
            return None
        is_empty = all(cell is None for row in rows for cell in row)
        return None if is_empty and self._drop_empty else tuple(sorted(repr([_plain(c) for c in row]) for row in rows))

    def _run(self, request: Request, source: TableRef | Path, sql: str) -> Sequence[Sequence[Cell]]:
        if self._sandbox is None:
            self._sandbox = Sandbox(_LIMITS, 1)
        if isinstance(source, Path):
            return self._sandbox.run(source, sql, [table.name for table in request.schema.tables]).rows
        physical = rebind(sql, request.schema.table, source.table_id)
        return self._sandbox.run(source.database, physical, [physical_name(source.table_id)]).rows


def _plain(cell: Cell) -> Cell:
    """2 and 2.0 are one value."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
