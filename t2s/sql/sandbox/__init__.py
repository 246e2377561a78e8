"""The only place where SQL that a model wrote is run, on SQLite and DuckDB files.

Five layers, each meant to hold if the others are wrong. What each covers, and what it does *not*:

1. **The text is one read-only query** (:mod:`.guard`: length, nesting, statement kinds; gives the good messages;
   :mod:`.plain` knows the plainest shape without the parser; :mod:`.quotes` closes SQLite's trap with double quotes).
   Not: which tables and functions are named, nor what sqlglot reads otherwise than the engine.
2. **The connection.** SQLite opens the file read-only, with ``query_only``, its own limits, nothing to attach.
   DuckDB opens it read-only, with other files, the network, extensions and Python's variables off, one thread, a
   limit on memory, no spilling to disk, the settings locked. Not: reading other tables of the file, or its schema.
3. **The authorizer** denies all but selecting, reading the listed tables and views, and calling the listed functions.
   SQLite asks it for every name that it resolves. DuckDB has none: there it decides on the tree of DuckDB's *own*
   parser (:mod:`.inside.duckdb_rules`), then on the tables that DuckDB's *own* binder finds; both are independent of
   sqlglot. Not: what a query may *learn* from what it may read; what the owner's views do; DuckDB's user macros
   cannot be called at all; a query of SQLite that writes ``main.`` before a view needs that view's tables listed too.
4. **A deadline inside the engine, and caps on rows and bytes.** Not: one function call that takes long in SQLite,
   which looks at the clock between steps (layer 5 ends it); DuckDB makes a whole result before the caps cut it, within
   its limit on memory.
5. **A child process** for each engine: an empty environment, limits on CPU, memory, files written and processes, a
   hard kill a tenth of a second after the deadline, an end with its parent. Not: reading any file that this user may
   read, or opening sockets, if a flaw in an engine runs code in the child (there is no system-call filter, no name
   space); the limit on processes does not bind root; Windows has no such limits.

The time limit covers parsing and running, not waiting for a child that is busy or starting. A hostile *database file*
is not covered: files come from their owners. An open DuckDB file cannot be written to by its owner until a second
after the last query.
"""

from __future__ import annotations

from t2s.sql.sandbox.guard import check_read_only
from t2s.sql.sandbox.outcome import (
    ExecutionFailed,
    InvalidSQL,
    Limits,
    Refused,
    Result,
    SandboxError,
    TimedOut,
)
from t2s.sql.sandbox.runner import Sandbox

__all__ = [
    "ExecutionFailed",
    "InvalidSQL",
    "Limits",
    "Refused",
    "Result",
    "Sandbox",
    "SandboxError",
    "TimedOut",
    "check_read_only",
]
