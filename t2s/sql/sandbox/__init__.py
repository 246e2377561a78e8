"""The only place where SQL that a model wrote is run.

Five layers, each meant to hold if the others are wrong:

1. the text is one read-only query (:mod:`.guard`: length, nesting, statement kinds; gives the good messages);
2. SQLite opens the file read-only, with ``query_only``, its own limits, and nothing to attach;
3. an authorizer denies everything but selecting, reading the listed tables and calling the listed functions;
4. a deadline inside SQLite, and caps on the rows and bytes that come back;
5. a child process with an empty environment and limits on CPU, memory, files and processes, killed when late.

Not covered: a flaw in SQLite that runs code in the child could read what this user can read (there is no
system-call filter, no network or file name space); what a query may *learn* from the tables that it may
read; a hostile database file; Windows, which has no such limits. A view can be read only if its tables are
listed too.
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
from t2s.sql.sandbox.pool import Sandbox

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
