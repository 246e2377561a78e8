"""Views in the sandbox: a granted view reads its base tables, a query by itself does not.

SQLite tells the authorizer the name of the innermost view that reads a table, but it gives the name of a WITH
query in the same place: ``WITH granted_view AS (SELECT * FROM secrets) ...`` would pass for the view. So each
view is covered by a temporary one of the same name that reads a second one, which has the owner's text and a
name that nobody can guess (no name can be read out of the sandbox); only reads from there count as the view's.

Not covered: a query that names its view with the schema (``main.v``) reads the uncovered view, and is refused
unless the tables of the view are listed too; so is a view that does not begin as SQLite stores it.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections import defaultdict

_HEAD = re.compile(
    r"""\s*CREATE\s+VIEW\s+("(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s("'`\[]+)""", re.I
)
_QUOTES = str.maketrans("", "", "\"`'[]")


class Views:
    """The views of one connection. Makes its temporary views at once, before the authorizer is set."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._secret = secrets.token_hex(16)
        self._hidden: dict[str, str] = {}
        """Hidden name to view, in lower case."""
        self._uses: dict[str, set[str]] = {}
        """Each view, and those that it is made of."""
        self._inner: dict[str, set[tuple[str, str]]] = {}
        """Per view, the reads of its own WITH queries: the name of the WITH query, and the table."""
        self._granted = frozenset[str]()
        self._granted_inner = frozenset[tuple[str, str]]()
        stored = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'").fetchall()
        if stored:
            # Not on disk, even for a moment.
            connection.execute("PRAGMA temp_store=MEMORY").close()
        covered = [name.lower() for name, sql in stored if self._cover(connection, name, sql or "")]
        for view in covered:
            self._learn(connection, view)

    def grant(self, tables: frozenset[str], sql: str) -> None:
        """From now on the views among ``tables`` (lower case) may read what they are made of, under ``sql``."""
        if not self._uses:
            return
        views = {used for view in tables & self._uses.keys() for used in self._uses[view]}
        self._granted = frozenset(hidden for hidden, view in self._hidden.items() if view in views)
        # A WITH query of the view's own could be imitated, but only by a text that spells its name.
        text = sql.lower().translate(_QUOTES)
        reads = {read for view in views for read in self._inner[view]}
        self._granted_inner = frozenset(read for read in reads if read[0].translate(_QUOTES) not in text)

    def trusts(self, inside: str | None) -> bool:
        """Whether a read or call from ``inside`` is that of a granted view."""
        return inside is not None and inside.lower() in self._granted

    def may_read(self, table: str, column: str | None, inside: str | None) -> bool:
        """Whether a granted view reads ``table`` (lower case) from ``inside``."""
        if table in self._granted or self.trusts(inside):
            return True
        return inside is not None and (inside.lower(), table) in self._granted_inner

    def public(self, message: str) -> str:
        """An error message without the hidden names."""
        return re.sub(rf"\b\w*{self._secret}", "the view", message)

    def _cover(self, connection: sqlite3.Connection, name: str, sql: str) -> bool:
        head = _HEAD.match(sql)
        if head is None:
            return False
        hidden = f"v{len(self._hidden)}_{self._secret}"
        quoted = name.replace('"', '""')
        try:
            connection.execute(f"CREATE TEMP VIEW {hidden}{sql[head.end() :]}").close()
            connection.execute(f'CREATE TEMP VIEW "{quoted}" AS SELECT * FROM {hidden}').close()
        except sqlite3.Error:
            # A view that is broken as it stands: the query that reads it will be told why.
            return False
        self._hidden[hidden] = name.lower()
        return True

    def _learn(self, connection: sqlite3.Connection, view: str) -> None:
        """See from where and what ``view`` reads. EXPLAIN compiles, and runs nothing."""
        reads = defaultdict[str, set[str]](set)

        def record(
            action: int, first: str | None, _second: str | None, _database: str | None, inside: str | None
        ) -> int:
            if action == sqlite3.SQLITE_READ:
                reads[(inside or "").lower()].add((first or "").lower())
            return sqlite3.SQLITE_OK

        connection.set_authorizer(record)
        quoted = view.replace('"', '""')
        try:
            connection.execute(f'EXPLAIN SELECT * FROM temp."{quoted}"').close()
        except sqlite3.Error:
            reads.clear()
        finally:
            connection.set_authorizer(None)
        self._uses[view] = {view} | {self._hidden[inside] for inside in reads if inside in self._hidden}
        known = self._hidden.keys() | set(self._hidden.values()) | {""}
        self._inner[view] = {(inside, table) for inside in reads if inside not in known for table in reads[inside]}
