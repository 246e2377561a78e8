"""What runs gold queries and predictions: the official engine for logical forms, the sandbox for everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2s.data.core import Example, TableRef
from t2s.errors import DataError, SQLError
from t2s.evaluate.faults import form_faults, result_faults
from t2s.evaluate.order import limits_without_order, tie_blocks
from t2s.evaluate.verdict import Gold, Rows
from t2s.sql.core import LogicalForm
from t2s.sql.database import engine_of
from t2s.sql.official import OfficialEngine, physical_name
from t2s.sql.parse import ParseFailure, parse
from t2s.sql.rebind import rebind
from t2s.sql.repaired import repaired_rows, runs_as_official
from t2s.sql.sandbox import Limits, Sandbox
from t2s.sql.syntax import read_query

NO_ROWS = "EX cannot be measured: there are no rows"
TOO_MANY = "the gold query returns more rows than the sandbox lets out"


class Executor:
    """Owns a sandbox and the open databases of the official layout. Thread safe; close it."""

    def __init__(self, limits: Limits | None, workers: int) -> None:
        self.sandbox = Sandbox(limits, workers)
        self._engines: dict[Path, OfficialEngine] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the databases and end the sandbox."""
        self.sandbox.close()
        for engine in self._engines.values():
            engine.close()

    def official(self, source: TableRef, query: Any) -> tuple[Rows | None, str]:
        """The rows of a logical form, or of a raw ``{sel, agg, conds}``, by the official rules; or None and why not."""
        engine = self._engine(source.database)
        try:
            return engine.execute_rows(source.table_id, query), ""
        except SQLError as error:
            return None, str(error)

    def both(self, source: TableRef, lf: LogicalForm) -> tuple[Rows | None, Rows | None, str]:
        """The rows by the official and by the repaired rules, and what is wrong with the first of them that fails."""
        engine = self._engine(source.database)
        try:
            rows, problem = engine.execute_rows(source.table_id, lf), ""
            if runs_as_official(lf, len(engine.column_types(source.table_id))):
                return rows, rows, ""
        except SQLError as error:
            rows, problem = None, str(error)
        repaired, also = self.repaired(source, lf)
        # The repaired rules say in words what the official ones say by an exception.
        return rows, repaired, also or problem

    def repaired(self, source: TableRef, lf: LogicalForm) -> tuple[Rows | None, str]:
        """As :meth:`official`, by the repaired rules."""
        engine = self._engine(source.database)
        try:
            return repaired_rows(engine, source.table_id, lf), ""
        except (SQLError, DataError) as error:
            return None, str(error)

    def num_columns(self, source: TableRef) -> int:
        """How many columns the stored table has."""
        return len(self._engine(source.database).column_types(source.table_id))

    def rebound(self, example: Example, source: TableRef, sql: str) -> tuple[Rows, bool]:
        """The rows of SQL over the example's table, run on the official layout in the sandbox; whether cut off."""
        physical = rebind(sql, example.schema.table, source.table_id)
        result = self.sandbox.run(source.database, physical, [physical_name(source.table_id)])
        return list(result.rows), result.truncated

    def on_database(self, database: Path, sql: str) -> tuple[Rows, bool]:
        """The rows of SQL on a user's own database, in the sandbox; whether they were cut off."""
        result = self.sandbox.run(database, sql)
        return list(result.rows), result.truncated

    def gold(self, example: Example) -> Gold:
        """What the gold query of ``example`` returns, and the faults that it has."""
        source, form = example.source, gold_form(example)
        if isinstance(source, Path):
            return self._database_gold(example, source, form)
        if isinstance(source, TableRef):
            return self._wikisql_gold(example, source, form)
        if len(example.schema.tables) != 1:
            return Gold(problem="LF needs one table, EX needs a database: this example has neither")
        return Gold(problem=NO_ROWS, form=form, faults=tuple(form_faults(form, len(example.schema.table.columns))))

    def _wikisql_gold(self, example: Example, source: TableRef, form: LogicalForm | None) -> Gold:
        if form is None:
            rows, problem, fault = attempt_text(lambda: self.rebound(example, source, example.sql))
            return Gold(rows, rows, problem, None, (*fault, *result_faults(rows)))
        rows, repaired, problem = self.both(source, form)
        columns = len(example.schema.tables[0].columns)
        if rows is not None and self.num_columns(source) != columns:
            return self._wrong_database(example, source, form)
        if rows is not None and rows is repaired:  # one run for both rules: the form has no fault
            return Gold(rows, rows, "", form, tuple(result_faults(rows)))
        faults = form_faults(form, columns)
        faults += ["cannot_run"] if rows is None else []
        faults += ["cannot_run_repaired"] if repaired is None else []
        faults += ["changed_by_repair"] if rows != repaired else []
        problem = problem and f"the gold query cannot run: {problem}"
        return Gold(rows, repaired, problem, form, (*faults, *result_faults(rows)))

    def _wrong_database(self, example: Example, source: TableRef, form: LogicalForm) -> Gold:
        stored = f"{self.num_columns(source)} columns, {len(example.schema.table.columns)} were expected"
        why = f"{source.database} is the wrong database: its {physical_name(source.table_id)} has {stored}"
        return Gold(problem=why, form=form, faults=("wrong_database", "cannot_run"))

    def _database_gold(self, example: Example, database: Path, form: LogicalForm | None) -> Gold:
        dialect = engine_of(database)
        rows, problem, fault = attempt_text(lambda: self.on_database(database, example.sql))
        if rows is None:
            return Gold(problem=problem, form=form, faults=(*fault,))
        tree = read_query(example.sql, dialect=dialect)
        blocks = tie_blocks(tree, rows, lambda sql: self.on_database(database, sql)[0], dialect)
        arbitrary = ["arbitrary_rows"] if limits_without_order(tree) else []
        return Gold(rows, rows, "", form, (*arbitrary, *result_faults(rows)), blocks)

    def _engine(self, database: Path) -> OfficialEngine:
        found = self._engines.get(database)
        if found is not None:
            return found
        with self._lock:
            if database not in self._engines:
                self._engines[database] = OfficialEngine(database)
            return self._engines[database]


def gold_form(example: Example) -> LogicalForm | None:
    """The example's logical form, read from its SQL where the data gives none."""
    return example.logical_form if example.logical_form is not None else form_of(example, example.sql)


def form_of(example: Example, sql: str) -> LogicalForm | None:
    """The logical form of ``sql``, if the example has one table and WikiSQL's form can say it."""
    if len(example.schema.tables) != 1:
        return None
    try:
        return parse(sql, example.schema.table)
    except ParseFailure:
        return None


def attempt_text(execute: Callable[[], tuple[Rows, bool]]) -> tuple[Rows | None, str, tuple[str, ...]]:
    """The rows of a gold query in the sandbox, or None, why EX cannot be measured, and the fault's name."""
    try:
        rows, truncated = execute()
    except SQLError as error:
        return None, f"the gold query cannot run: {error}", ("cannot_run",)
    return (None, TOO_MANY, ("too_many_rows",)) if truncated else (rows, "", ())
