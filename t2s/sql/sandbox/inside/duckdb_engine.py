"""DuckDB in the child: layers 2 to 4. Needs the folder that DuckDB lies in, and nothing else of it.

The file is opened read-only, with other files, the network, extensions and Python variables off, and the settings
locked. Before a query runs, two more things are asked of DuckDB itself: the tree that its parser makes of the text
(:mod:`.duckdb_rules`), and the tables that its binder finds behind the names.

Not covered: DuckDB runs its own threads as root (the kernel exempts root from the limit); memory that it does not
count is held by the limit on the process only; the file's owner cannot write to it while it is open here, until a
second after the last query.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import sys
import threading
import time
import types
import zoneinfo
from typing import Any

from .duckdb_rules import Name, Rules
from .duckdb_settings import SETTINGS
from .wire import Failure, Kind, Reply, Request, capped

_BASE_BYTES = 96 * 2**20
"""What Python and DuckDB take before the first query."""

duckdb: Any = None


class Watch:
    """Interrupts a connection when its time is over; one thread, started before threads are forbidden."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadline = math.inf
        self._connection: Any = None
        self._wakes = math.inf
        threading.Thread(target=self._run, daemon=True).start()

    def set(self, connection: Any, deadline: float) -> None:
        """Interrupt ``connection`` at ``deadline`` (``time.monotonic``); infinity: not at all."""
        with self._changed:
            self._connection, self._deadline = connection, deadline
            # It need not be woken for each query: when it wakes for an earlier one it sees that this one has time.
            if deadline < self._wakes:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._deadline - time.monotonic()
                if left > 0:
                    self._wakes = self._deadline
                    self._changed.wait(None if math.isinf(left) else left)
                else:
                    # Again and again: one that comes before the query has begun is lost.
                    self._connection.interrupt()
                    self._changed.wait(0.005)


watch: Any = None


def start(site: str) -> None:
    """Load DuckDB from the folder ``site``, which is off the path again afterwards."""
    global duckdb, watch
    sys.path.append(site)
    import duckdb as loaded

    sys.path.remove(site)
    duckdb, watch = loaded, Watch()
    # For times with a zone DuckDB asks for this package by name; the standard library has what it needs of it.
    sys.modules.setdefault("pytz", _zones())
    with loaded.connect(config=dict(SETTINGS)) as connection:
        # The parts that are loaded at first use are loaded before the limits on the process.
        connection.execute("SELECT json_serialize_sql('SELECT 1'), regexp_matches('a', 'a')").fetchall()


class Zone(zoneinfo.ZoneInfo):
    """A time zone of the standard library, as far as DuckDB wants more of it."""

    def localize(self, moment: datetime.datetime) -> datetime.datetime:
        """``moment`` in this zone."""
        return moment.replace(tzinfo=self)


def _zones() -> types.ModuleType:
    module = types.ModuleType("pytz")
    module.timezone = Zone  # type: ignore[attr-defined]
    module.utc = Zone("UTC")  # type: ignore[attr-defined]
    module.UnknownTimeZoneError = zoneinfo.ZoneInfoNotFoundError  # type: ignore[attr-defined]
    return module


class DuckDBFile:
    """One open file, and what there is in it."""

    def __init__(self, path: str, memory_bytes: int, layers: frozenset[str]) -> None:
        self.keep = True
        self._layers = layers
        try:
            self._database = _connect(path, memory_bytes, "connection" in layers)
            self._connection = self._database.cursor()
            self._learn()
        except duckdb.Error as error:
            raise Failure("failed", _first_line(error)) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        self._database.close()

    def run(self, request: Request) -> Reply:
        """The rows within the caps; raise :class:`Failure`."""
        wanted = request["tables"]
        granted = self._tables if wanted is None else self._granted(wanted)
        # What a query might leave behind (a search path, a temporary table) goes with its own connection.
        self._connection.close()
        self._connection = self._database.cursor()
        if "deadline" in self._layers:
            watch.set(self._connection, time.monotonic() + request["timeout_s"])
        try:
            if "authorizer" in self._layers:
                self._authorize(request["sql"], granted)
            cursor = self._connection.execute(request["sql"])
            return self._fetch(cursor, request["max_rows"], request["max_bytes"])
        except (duckdb.Error, RuntimeError) as error:
            # A refusal, an unknown name or a wrong type leaves nothing behind in a connection that only reads.
            self.keep = isinstance(error, (duckdb.ProgrammingError, duckdb.DataError, duckdb.PermissionException))
            raise Failure(_kind(error), _first_line(error)) from error
        finally:
            watch.set(None, math.inf)

    def _learn(self) -> None:
        """The tables and views of the file, those of DuckDB itself, and the user's macros."""
        (catalog,) = self._connection.execute("SELECT current_database()").fetchone()
        rows = self._connection.execute(
            "SELECT schema_name, table_name, internal, false FROM duckdb_tables()"
            " UNION ALL SELECT schema_name, view_name, internal, true FROM duckdb_views()"
        ).fetchall()
        macros = self._connection.execute("SELECT function_name FROM duckdb_functions() WHERE NOT internal").fetchall()
        self._tables = frozenset((schema.lower(), name.lower()) for schema, name, internal, _ in rows if not internal)
        # A WITH query is named without a schema: all bare names count, DuckDB's own too, whatever schema they are in.
        bare = {name.lower() for _, name, _, _ in rows}
        self._rules = Rules(catalog, self._tables, bare, [name.lower() for (name,) in macros])
        views = [(schema, name) for schema, name, internal, is_view in rows if is_view and not internal]
        self._behind = {(schema.lower(), name.lower()): self._read_by(schema, name) for schema, name in views}

    def _granted(self, wanted: list[str]) -> frozenset[Name]:
        """The listed tables: by their name if in schema main, else as ``schema.name``."""
        names = {name.lower() for name in wanted}
        return frozenset(
            (schema, name)
            for schema, name in self._tables
            if (name if schema == "main" else f"{schema}.{name}") in names
        )

    def _read_by(self, schema: str, view: str) -> frozenset[Name]:
        try:
            return self._bound(f"FROM {_quoted(schema)}.{_quoted(view)}")
        except duckdb.Error:
            # A view that is broken as it stands: the query that reads it will be told why.
            return frozenset()

    def _authorize(self, sql: str, granted: frozenset[Name]) -> None:
        """Layer 3: one statement that is a query, of allowed parts, that is bound to granted tables only."""
        (text,) = self._connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        parsed = json.loads(text)
        if parsed["error"]:
            message = str(parsed.get("error_message", ""))
            refused = "Only SELECT" in message or parsed.get("error_type") == "not implemented"
            raise Failure("refused" if refused else "failed", message.split("\n")[0])
        if len(parsed["statements"]) != 1 or len(self._connection.extract_statements(sql)) != 1:
            raise Failure("refused", "expected one statement")
        self._rules.check(parsed["statements"][0], granted)
        if granted != self._tables:
            reachable = granted.union(*(self._behind.get(table, frozenset()) for table in granted))
            if hidden := self._bound(sql) - reachable:
                raise Failure("refused", f"access to {'.'.join(min(hidden))} is prohibited")

    def _bound(self, sql: str) -> frozenset[Name]:
        """The tables that DuckDB's binder finds behind a query, those behind its views included."""
        names = self._connection.get_table_names(sql, qualified=True)
        return frozenset(table for name in names for table in self._rules.resolve(_parts(name)))

    def _fetch(self, cursor: Any, max_rows: int, max_bytes: int) -> Reply:
        if cursor.description is None:
            raise Failure("refused", "not a query: it returns no columns")
        rows: list[list[Any]] = []
        left = max_bytes
        while (row := cursor.fetchone()) is not None:
            values, left = capped([_plain(value) for value in row], left)
            if left < 0 or len(rows) == max_rows:
                break
            rows.append(values)
        columns = [column[0] for column in cursor.description]
        return {"columns": columns, "rows": rows, "truncated": row is not None}


def _connect(path: str, memory_bytes: int, strict: bool) -> Any:
    """Open the file; not ``strict`` is for the tests of the other layers."""
    if not strict:
        return duckdb.connect(path)
    settings = {**SETTINGS, "memory_limit": f"{max(memory_bytes - _BASE_BYTES, 2**24) // 2}B"}
    try:
        connection = duckdb.connect(path, read_only=True, config={**settings, "async_threads": "0"})
    except duckdb.CatalogException:
        # A DuckDB older than 2.0 has no such threads, nor the setting.
        connection = duckdb.connect(path, read_only=True, config=settings)
    for setting in ("GLOBAL TimeZone = 'UTC'", "GLOBAL lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


def _parts(name: str) -> list[str]:
    """A qualified name, as DuckDB quotes it, in its parts."""
    return [quoted.replace('""', '"') or bare for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|([^.]+)', name)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    """DuckDB's richer types as a number or text; a BLOB stays as it is for its marker."""
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if type(value).__name__ == "Decimal":
        return float(value)
    return str(value)


def _kind(error: Exception) -> Kind:
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in str(error):
        return "timeout"
    return "refused" if isinstance(error, duckdb.PermissionException) else "failed"


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
