"""Layer 1: is this text one read-only query? Decided by sqlglot, before any process sees it.

Not covered: which functions are called and which tables are read. Those are names, and SQLite's authorizer,
which sees them resolved, decides about them. Where sqlglot and SQLite read a text differently, the other
layers hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from t2s.sql.sandbox.outcome import InvalidSQL, Refused
from t2s.sql.syntax import MAX_SQL_CHARS, NotWikiSQLForm, SyntaxFailure, read_query, tokenize

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
_COMPARING = frozenset(
    {
        TokenType.EQ,
        TokenType.NEQ,
        TokenType.GT,
        TokenType.GTE,
        TokenType.LT,
        TokenType.LTE,
        TokenType.LIKE,
        TokenType.GLOB,
        TokenType.BETWEEN,
    }
)


def check_read_only(sql: str, max_chars: int = MAX_SQL_CHARS) -> None:
    """Raise :class:`InvalidSQL` for what does not parse, :class:`Refused` for all but one read-only query."""
    if len(sql) > max_chars:
        raise Refused(f"the SQL has {len(sql)} characters; at most {max_chars} are run")
    if "\0" in sql or not _encodable(sql):
        raise InvalidSQL("the SQL holds a character that no SQL text can hold (NUL or half a surrogate pair)")
    try:
        tree = read_query(sql)
        writing = tree if not isinstance(tree, _ROOTS) else tree.find(*_WRITING)
    except NotWikiSQLForm as error:
        raise Refused(f"only one read-only SELECT runs here: {error}") from error
    except (SyntaxFailure, RecursionError) as error:
        raise InvalidSQL(str(error) or "the SQL nests too deeply") from error
    if writing is not None:
        raise Refused(f"only one read-only SELECT runs here: it holds {writing.key.upper()}")


def harden_quotes(sql: str) -> str:
    """``sql`` with backticks for the double quotes around names, so that an unknown name is an error.

    SQLite reads a double-quoted name that no column has as a *string*: ``SELECT "Nope" FROM t`` would run
    and answer Nope (https://www.sqlite.org/quirks.html#dblquote). Python 3.11 cannot switch that off; with
    backticks it does not happen. Double quotes stay where a value belongs, after a comparison or in a list:
    there models and published gold queries write strings so, and SQLite takes the column if there is one.
    """
    edits = [
        (token.start, token.end, "`" + token.text.replace("`", "``") + "`")
        for token in _quoted_names(tokenize(sql))
        if sql[token.start] == '"'
    ]
    for start, end, text in reversed(edits):
        sql = sql[:start] + text + sql[end + 1 :]
    return sql


def _quoted_names(tokens: Sequence[Token]) -> Iterator[Token]:
    """The quoted identifiers that do not stand where a value belongs."""
    lists: list[bool] = []
    between = False
    before: TokenType | None = None
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        kind = token.token_type
        after = following.token_type if following else None
        if kind == TokenType.L_PAREN:
            lists.append(before == TokenType.IN)
        elif kind == TokenType.R_PAREN and lists:
            lists.pop()
        elif kind == TokenType.BETWEEN:
            between = True
        elif kind == TokenType.IDENTIFIER:
            in_list = bool(lists) and lists[-1] and before in (TokenType.L_PAREN, TokenType.COMMA)
            is_value = before in _COMPARING or in_list
            if not is_value or after == TokenType.DOT:
                yield token
        # The AND of BETWEEN introduces a value; the next AND joins conditions again.
        closes_between = kind == TokenType.AND and between
        between = between and not closes_between
        before = TokenType.BETWEEN if closes_between else kind


def _encodable(sql: str) -> bool:
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True
