"""SQLite's trap with double quotes: an unknown name would run as a text. DuckDB has no such trap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot.tokens import Token, TokenType

from t2s.sql.syntax import tokenize

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


def harden_quotes(sql: str, tokens: Sequence[Token] | None = None) -> str:
    """``sql`` with backticks for the double quotes around names, so that an unknown name is an error.

    SQLite reads a double-quoted name that no column has as a *string*: ``SELECT "Nope" FROM t`` would run
    and answer Nope (https://www.sqlite.org/quirks.html#dblquote). Python 3.11 cannot switch that off; with
    backticks it does not happen. Double quotes stay where a value belongs, after a comparison or in a list:
    there models and published gold queries write strings so, and SQLite takes the column if there is one.
    ``tokens``: those of ``sql``, if they are at hand.
    """
    if '"' not in sql:
        return sql
    edits = [
        (token.start, token.end, "`" + token.text.replace("`", "``") + "`")
        for token in _quoted_names(tokenize(sql) if tokens is None else tokens)
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
