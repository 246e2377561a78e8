"""``t2s ask``: one question to a running endpoint. What it answers is others' text, and is shown as such."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from t2s.cli.console import err, out, say, table
from t2s.cli.plain import plain, plain_json, plain_line
from t2s.errors import EXIT_FAILED, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from t2s.config import Config

TOKEN_VARIABLE = "T2S_SERVE_TOKEN"
MAX_SHOWN = 50
"""Rows that are printed as a table; ``--json`` prints all."""


def ask_verb(
    config: Config,
    question: str,
    database: str | None,
    schema: str | None,
    table_name: str | None,
    url: str | None,
    execute: bool,
    timeout_s: float,
    as_json: bool,
) -> int:
    """Ask, print SQL and rows; the exit code is 0 if the SQL ran, or was not to run and is a query."""
    from t2s.serve.client import ask
    from t2s.serve.run import base_url

    if (database is None) == (schema is None):
        raise ConfigError('say what is asked: either --db NAME (of the endpoint) or --schema "TABLE: t ( a (real) )"')
    if table_name is not None and database is None:
        raise ConfigError("--table goes with --db")
    if not question.strip():
        raise ConfigError("the question is empty")
    where = (url or base_url(config)).rstrip("/")
    answer = ask(where, question, schema, database, table_name, execute, timeout_s, endpoint_token(where))
    if as_json:
        out.print(plain_json(json.dumps(answer, ensure_ascii=False)), markup=False)
    else:
        _show(answer)
    return EXIT_OK if answer.get("verdict") in ("ok", "not_executed") else EXIT_FAILED


def endpoint_token(url: str) -> str | None:
    """The token of the environment; said aloud where others on the way could read it."""
    from t2s.serve.client import address

    token = os.environ.get(TOKEN_VARIABLE, "").split()
    parts = address(url)
    if token and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        say(f"warning: {TOKEN_VARIABLE} goes to {parts.hostname} without encryption; use https")
    return token[0] if token else None


def _show(answer: dict[str, Any]) -> None:
    out.print(plain(answer["sql"]), markup=False)
    verdict, detail = str(answer.get("verdict")), str(answer.get("detail") or "")
    if verdict == "ok":
        _show_rows(answer)
    else:
        err.print(plain_line(f"{verdict.replace('_', ' ')}{': ' if detail else ''}{detail}"), markup=False)
    version = (answer.get("adapter") or {}).get("version")
    taken = (answer.get("timing_ms") or {}).get("total")
    told = f"adapter {version} on {answer.get('base')}" + (
        f", {taken:.0f} ms" if isinstance(taken, int | float) else ""
    )
    say(plain_line(told))


def _show_rows(answer: dict[str, Any]) -> None:
    rows = answer.get("rows") or []
    count = f"{len(rows)}{'+' if answer.get('truncated') else ''} rows"
    shown = [["NULL" if cell is None else plain_line(str(cell)) for cell in row] for row in rows[:MAX_SHOWN]]
    table(count, [plain_line(str(name)) for name in answer.get("columns") or []], shown)
    if len(rows) > MAX_SHOWN:
        say(f"the first {MAX_SHOWN} of {count}; --json prints all")
