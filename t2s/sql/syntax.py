"""SQL text to a syntax tree, by sqlglot, and the ways in which that fails.

Shared by the parser of logical forms and the rewriting for the official layout. It judges the text only;
it guards nothing: what may run is decided in :mod:`t2s.sql.sandbox`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Reader
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.tokens import Token, TokenType

from t2s.errors import SQLError

Dialect = Literal["sqlite", "duckdb"]
"""Whose SQL a text is read as; also the names of the engines that run it."""

MAX_SQL_CHARS = 10_000
"""Longer texts are refused unread: parsing time grows with length, and no answer is that long."""

MAX_TOKENS = 2_000
"""Likewise: it is the number of tokens, not of characters, that the parser takes its time for."""

_BEFORE = r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*"
_QUERY: dict[Dialect, re.Pattern[str]] = {
    "sqlite": re.compile(_BEFORE + r"(?:SELECT|WITH|VALUES)\b", re.IGNORECASE | re.DOTALL),
    # FROM may come first there.
    "duckdb": re.compile(_BEFORE + r"(?:SELECT|WITH|VALUES|FROM)\b", re.IGNORECASE | re.DOTALL),
}
_STATEMENT_WORDS = """
ALTER ANALYZE ATTACH BEGIN CALL CHECKPOINT COMMENT COMMIT COPY CREATE DEALLOCATE DELETE DESCRIBE DETACH DROP END
EXEC EXECUTE EXPLAIN EXPORT FORCE GRANT IMPORT INSERT INSTALL LOAD MERGE PIVOT PRAGMA PREPARE REINDEX RELEASE
REPLACE RESET REVOKE ROLLBACK SAVEPOINT SET SHOW START SUMMARIZE TRUNCATE UNPIVOT UPDATE USE VACUUM
"""
_OTHER_STATEMENTS = frozenset(_STATEMENT_WORDS.split())
"""How SQL that is no query begins, in SQLite and elsewhere; anything else is no SQL."""

_STRUCTURE = frozenset({"SELECT", "FROM", "WHERE", "AND"})
_LITERALS = frozenset({TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER})
_MAX_NESTING = 25
_DIALECTS: dict[Dialect, Reader] = {"sqlite": SQLite(), "duckdb": DuckDB()}

# Its warnings are about the text of a model, which no user wrote; failures come as exceptions.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class ParseFailure(SQLError):
    """A text that gives no logical form; ``reason`` says in one word why."""

    reason: ClassVar[str] = "syntax"


class SyntaxFailure(ParseFailure):
    """Not SQL at all."""


class UnknownColumn(ParseFailure):
    """SQL that names a column or a table which is not there."""

    reason = "unknown_column"


class NotWikiSQLForm(ParseFailure):
    """Valid SQL that WikiSQL's logical form cannot say: a join, OR, LIKE, GROUP BY, several columns."""

    reason = "not_wikisql_form"


def read_query(sql: str, columns: Iterable[str] = (), dialect: Dialect = "sqlite") -> exp.Expr:
    """The tree of one query, read as ``dialect``. A bare keyword (``order``) counts as a name if it is in ``columns``.

    Raise :class:`SyntaxFailure`, or :class:`NotWikiSQLForm` for several statements or one that is no query.
    """
    if len(sql) > MAX_SQL_CHARS:
        raise SyntaxFailure(f"the SQL has {len(sql)} characters; at most {MAX_SQL_CHARS} are read")
    return read_tokens(tokenize(sql, dialect), sql, columns, dialect)


def read_tokens(tokens: list[Token], sql: str, columns: Iterable[str] = (), dialect: Dialect = "sqlite") -> exp.Expr:
    """As :func:`read_query`, for who has the tokens of ``sql`` already."""
    if len(tokens) > MAX_TOKENS:
        raise SyntaxFailure(f"the SQL has {len(tokens)} words and signs; at most {MAX_TOKENS} are read")
    # Anything else may make sqlglot fall back to an opaque "command", with a warning in the log.
    if not _QUERY[dialect].match(sql):
        is_statement = bool(tokens) and tokens[0].text.upper() in _OTHER_STATEMENTS
        kind = NotWikiSQLForm if is_statement else SyntaxFailure
        raise kind(f"expected SELECT, found {sql.strip()[:30]!r}")
    try:
        return _parse(tokens, sql, dialect)
    except SyntaxFailure:
        protected = _protect(tokens, {name.casefold() for name in columns})
        if protected == tokens:
            raise
        return _parse(protected, sql, dialect)


def tokenize(sql: str, dialect: Dialect = "sqlite") -> list[Token]:
    """sqlglot's tokens; raise :class:`SyntaxFailure` for unclosed quotes and too deep parentheses."""
    try:
        tokens = list(_DIALECTS[dialect].tokenize(sql))
    except SqlglotError as error:
        raise SyntaxFailure(f"not SQL: {_one_line(error)}") from error
    depth = deepest = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        deepest = max(deepest, depth)
    if deepest > _MAX_NESTING:
        raise SyntaxFailure(f"the SQL nests {deepest} parentheses; at most {_MAX_NESTING} are read")
    return tokens


def quote_of(identifier: exp.Identifier, sql: str) -> str:
    """What opens ``identifier`` in ``sql``: ``"``, a backtick, ``[``, or its own first letter."""
    start = identifier.meta.get("start")
    return sql[start] if isinstance(start, int) and start < len(sql) else '"'


def _parse(tokens: list[Token], sql: str, dialect: Dialect) -> exp.Expr:
    try:
        trees = _DIALECTS[dialect].parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)
    except (SqlglotError, RecursionError) as error:
        raise SyntaxFailure(f"not SQL: {_one_line(error)}") from error
    statements = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(statements) != 1:
        raise NotWikiSQLForm(f"expected one statement, found {len(statements)}")
    return statements[0]


def _protect(tokens: Sequence[Token], columns: set[str]) -> list[Token]:
    """The tokens with keywords that are also columns turned into names, except where they build the query."""
    protected = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        after = following.token_type if following else None
        is_name = (
            token.token_type not in _LITERALS
            and token.text.casefold() in columns
            and token.text.upper() not in _STRUCTURE
            and after != TokenType.L_PAREN
        )
        if is_name:
            token = Token(TokenType.IDENTIFIER, token.text, token.line, token.col, token.start, token.end)
        protected.append(token)
    return protected


def _one_line(error: Exception) -> str:
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        # Where the parser misses a part it names its own classes and tokens, which tell a user nothing.
        what = str(first.get("description")).split("<")[0].strip() or "unexpected text"
        return f"{what} at character {first.get('col')} ({first.get('highlight')!r})"
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    return str(error).split("\n")[0][:200]
