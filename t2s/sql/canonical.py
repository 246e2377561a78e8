"""A fast reader of exactly the spelling that :mod:`t2s.sql.render` writes, for the many texts that are spelled so.

It never decides anything by itself: a reading counts only if rendering it gives the very same text, and everything
else is left to the parser (:mod:`t2s.sql.parse`), which gives the same form for such a text (a property test).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from t2s.errors import SQLError
from t2s.sql.core import AGGREGATIONS, OPERATORS, Condition, LogicalForm, Value
from t2s.sql.render import render_names

_NAME = r'"([^"]*+(?:""[^"]*+)*+)"'
_STRING = r"'([^']*+(?:''[^']*+)*+)'"
_HEAD = re.compile(rf"SELECT (?:([A-Z]+)\()?{_NAME}\)? FROM {_NAME}")
_CONDITION = re.compile(rf"(?: WHERE | AND ){_NAME} ([=<>]) (?:{_STRING}|(-?[0-9][-+.0-9e]*+))")
_MAX_CHARS = 10_000
"""As the parser: a longer text is refused by it, and must not slip through here."""


def read_canonical(sql: str, names: tuple[str, ...], indices: Mapping[str, int]) -> tuple[LogicalForm, str] | None:
    """The logical form and the table's name, or None if ``sql`` is not in ``render``'s own spelling.

    ``names`` are the columns as SQL names them, ``indices`` tells where each stands.
    """
    head = _HEAD.match(sql)
    if head is None or len(sql) > _MAX_CHARS:
        return None
    aggregation, selected, table = head.group(1) or "", head.group(2), head.group(3)
    at, conds = head.end(), []
    try:
        while at < len(sql):
            found = _CONDITION.match(sql, at)
            if found is None:
                return None
            column = indices[found.group(1).replace('""', '"')]
            conds.append(Condition(column, OPERATORS.index(found.group(2)), _value(found)))
            at = found.end()
        lf = LogicalForm(indices[selected.replace('""', '"')], AGGREGATIONS.index(aggregation), tuple(conds))
        table = table.replace('""', '"')
        return (lf, table) if render_names(lf, names, table) == sql else None
    except (KeyError, ValueError, SQLError):
        return None


def _value(found: re.Match[str]) -> Value:
    text = found.group(3)
    if text is not None:
        return text.replace("''", "'")
    number = found.group(4)
    return int(number) if number.lstrip("-").isdigit() and len(number) < 400 else float(number)
