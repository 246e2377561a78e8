"""Queries of the plainest shape, recognised without the parser: it is where most of a warm query's time would go.

``SELECT "a" FROM "t" WHERE "b" > 5 AND "c" = 'x'`` (one column or one aggregation of it, names always quoted) is what
the model is taught to write. The pattern is a small grammar of its own: whatever it matches as a whole is one read-only
query. All else goes to the parser, which would also accept every text that this does.
"""

from __future__ import annotations

import re

_NAME = r'"(?:[^"]|"")++"'
_STRING = r"'(?:[^']|'')*+'"
_NUMBER = r"-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.])"
_CONDITION = rf"{_NAME} ?[=<>] ?(?:{_STRING}|{_NUMBER})"
_QUERY = re.compile(
    rf"SELECT (?:{_NAME}|(?:MAX|MIN|COUNT|SUM|AVG)\({_NAME}\)) FROM {_NAME}"
    rf"(?: WHERE {_CONDITION}(?: AND {_CONDITION})*+)?;?"
)
_QUOTED = re.compile(rf"{_STRING}|{_NAME}")


def is_plain(sql: str) -> bool:
    """Whether ``sql`` is of that shape, as a whole."""
    return _QUERY.fullmatch(sql) is not None


def harden_plain(sql: str) -> str:
    """As :func:`t2s.sql.sandbox.quotes.harden_quotes`, for a plain query: there double quotes hold names only."""
    return _QUOTED.sub(_backticked, sql)


def _backticked(match: re.Match[str]) -> str:
    text = match.group()
    return text if text[0] == "'" else "`" + text[1:-1].replace('""', '"').replace("`", "``") + "`"
