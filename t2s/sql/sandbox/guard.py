"""Layer 1: is this text one read-only query? Decided by sqlglot, before any process sees it.

Not covered: which functions are called and which tables are read. Those are names, and the engine, which sees
them resolved, decides about them in the child. Where sqlglot and the engine read a text differently, the other
layers hold.
"""

from __future__ import annotations

import functools

from sqlglot import exp

from t2s.sql.sandbox.outcome import InvalidSQL, Refused
from t2s.sql.sandbox.plain import harden_plain, is_plain
from t2s.sql.sandbox.quotes import harden_quotes
from t2s.sql.syntax import MAX_SQL_CHARS, Dialect, NotWikiSQLForm, SyntaxFailure, read_tokens, tokenize

_ROOTS = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_WRITING = (
    exp.Alter,
    exp.Analyze,
    exp.Attach,
    exp.Command,
    exp.Commit,
    exp.Create,
    exp.Delete,
    exp.Detach,
    exp.Drop,
    exp.Insert,
    exp.Into,
    exp.Lock,
    exp.Merge,
    exp.Pragma,
    exp.Rollback,
    exp.Set,
    exp.Transaction,
    exp.Update,
    exp.Use,
)


def check_read_only(sql: str, max_chars: int = MAX_SQL_CHARS, dialect: Dialect = "sqlite") -> None:
    """Raise :class:`InvalidSQL` for what does not parse, :class:`Refused` for all but one read-only query."""
    guarded(sql, max_chars, dialect)


def guarded(sql: str, max_chars: int = MAX_SQL_CHARS, dialect: Dialect = "sqlite") -> str:
    """``sql`` as it is sent to the engine, if it is one read-only query. Raises as :func:`check_read_only`.

    The last few thousand decisions are kept: gold queries and equal answers come again and again.
    """
    if len(sql) > max_chars:
        raise Refused(f"the SQL has {len(sql)} characters; at most {max_chars} are run")
    decision = _decide(sql, dialect)
    if isinstance(decision, tuple):
        kind, message = decision
        raise kind(message)
    return decision


@functools.lru_cache(maxsize=4096)
def _decide(sql: str, dialect: Dialect) -> str | tuple[type[InvalidSQL | Refused], str]:
    """The text to run, or what to raise: an exception itself would keep its traceback alive."""
    if "\0" in sql or not _encodable(sql):
        return InvalidSQL, "the SQL holds a character that no SQL text can hold (NUL or half a surrogate pair)"
    if is_plain(sql):
        return harden_plain(sql) if dialect == "sqlite" else sql
    try:
        tokens = tokenize(sql, dialect)
        tree = read_tokens(tokens, sql, dialect=dialect)
        writing = tree if not isinstance(tree, _ROOTS) else tree.find(*_WRITING)
    except NotWikiSQLForm as error:
        return Refused, f"only one read-only SELECT runs here: {error}"
    except (SyntaxFailure, RecursionError) as error:
        return InvalidSQL, str(error) or "the SQL nests too deeply"
    if writing is not None:
        return Refused, f"only one read-only SELECT runs here: it holds {writing.key.upper()}"
    return harden_quotes(sql, tokens) if dialect == "sqlite" else sql


def _encodable(sql: str) -> bool:
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True
