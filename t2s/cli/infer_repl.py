"""The conversation of ``t2s infer --interactive``: questions and dot-commands, line after line.

Ctrl-C cancels the line or the answer, Ctrl-D or ``.quit`` ends, an error ends nothing. History is kept in
``$XDG_STATE_HOME/t2s/history`` (``~/.local/state``), readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from t2s.cli.console import err, out, say, table
from t2s.cli.infer_files import Source, read_source, request_of
from t2s.cli.plain import plain, plain_line
from t2s.errors import ConfigError, DataError, SQLError, T2SError, suggest
from t2s.generate.core import Generation
from t2s.sql.core import Schema
from t2s.sql.sandbox import Sandbox
from t2s.sql.schema import render_schema

PROMPT = "t2s> "
MAX_SHOWN = 50
"""Rows of a result that are printed."""
HISTORY_LINES = 1000


class Conversation:
    """Asks one model about one source at a time."""

    def __init__(self, generator: Any, source: Source, databases: Mapping[str, Path] = {}) -> None:
        """``databases`` are those that ``.open NAME`` knows by name."""
        self._generator, self._source, self._databases = generator, source, databases
        self._timing = False
        self._commands: dict[str, tuple[Callable[[str], None], str]] = {
            ".help": (self._help, "this list"),
            ".tables": (self._tables, "the tables that are asked about"),
            ".schema": (self._schema, "[TABLE] the columns, as the model is told them"),
            ".databases": (self._list_databases, "the databases of the configuration"),
            ".open": (self._open, "NAME or FILE: ask about another database; .open FILE TABLE: about one table"),
            ".timing": (self._time, "on or off: how long each answer took"),
            ".quit": (self._help, "end (also .exit and Ctrl-D)"),
        }

    def run(self) -> None:
        """Until ``.quit`` or the end of input."""
        say("ask a question; .help lists the commands, .quit ends")
        with Sandbox() as self._sandbox:
            for line in _typed():
                if line in (".quit", ".exit"):
                    return
                self._attempt(line)

    def _attempt(self, line: str) -> None:
        try:
            self._command(line) if line.startswith(".") else self._answer(line)
        except KeyboardInterrupt:
            self._generator.forget()  # what it remembers of schemas may be half made
            err.print("cancelled")
        except T2SError as error:
            err.print(f"error: {plain_line(str(error))}", style="red", markup=False)
        except Exception as error:  # fault boundary: a loaded model is worth more than one failed answer
            self._generator.forget()
            err.print(f"error: {type(error).__name__}: {plain_line(str(error))[:500]}", style="red", markup=False)

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name not in self._commands:
            raise ConfigError(f"no command {name}{suggest(name, self._commands)}; .help lists them")
        self._commands[name][0](rest.strip())

    def _answer(self, question: str) -> None:
        started = time.perf_counter()
        answer = ask_one(self._generator, question, self._source)
        written = time.perf_counter()
        out.print(plain(answer.sql), markup=False)
        if not answer.finished:
            err.print("the answer was cut: it is longer than inference.max_new_tokens")
        if self._source.database is not None:
            show_rows(self._sandbox, self._source, answer.sql)
        if self._timing:
            ran = time.perf_counter() - written
            say(f"written in {1000 * (written - started):.0f} ms, run in {1000 * ran:.0f} ms")

    def _help(self, _: str) -> None:
        for name, (_call, about) in self._commands.items():
            out.print(f"{name:<12}{about}", markup=False)

    def _tables(self, _: str) -> None:
        for each in self._source.schema.tables:
            out.print(plain_line(each.name), markup=False)

    def _schema(self, name: str) -> None:
        tables = {each.name.casefold(): each for each in self._source.schema.tables}
        if name and name.casefold() not in tables:
            raise ConfigError(f"no table {name!r}{suggest(name, [each.name for each in tables.values()])}")
        schema = self._source.schema
        if name:
            schema = Schema((tables[name.casefold()],), ())
        out.print(plain(render_schema(schema)), markup=False)

    def _list_databases(self, _: str) -> None:
        for name, path in self._databases.items():
            out.print(f"{plain_line(name):<12} {path}", markup=False)
        if not self._databases:
            say("none: attach some with serve.databases.NAME=FILE, or .open FILE")

    def _open(self, rest: str) -> None:
        name, _, table_name = rest.partition(" ")
        if not name:
            raise ConfigError(".open what? .databases lists the names; a file's path is taken too")
        path = self._databases.get(name, Path(name).expanduser())
        self._source = read_source(None, path, table_name.strip() or None)
        say(f"asking about {len(self._source.schema.tables)} tables of {path}")

    def _time(self, rest: str) -> None:
        if rest not in ("on", "off", ""):
            raise ConfigError(".timing on or .timing off")
        self._timing = rest == "on" if rest else not self._timing
        say(f"timing is {'on' if self._timing else 'off'}")


def ask_one(generator: Any, question: str, source: Source) -> Generation:
    """The answer; a :class:`DataError` if the question cannot be put to the model."""
    answer: Generation = generator.generate([request_of(generator.prompt, question, source)])[0]
    if answer.problem is not None:
        raise DataError(answer.problem)
    return answer


def show_rows(sandbox: Any, source: Source, sql: str) -> None:
    """Run ``sql`` on the tables that were asked about, and print what it gives as a table."""
    assert source.database is not None
    try:
        result = sandbox.run(source.database, sql, tables=[each.name for each in source.schema.tables])
    except SQLError as error:
        err.print(f"not executed: {plain_line(str(error))}", markup=False)
        return
    shown = [[_cell(cell) for cell in row] for row in result.rows[:MAX_SHOWN]]
    count = f"{len(result.rows)}{'+' if result.truncated else ''} rows"
    table(count, [plain_line(name) for name in result.columns], shown)
    if len(result.rows) > MAX_SHOWN:
        say(f"the first {MAX_SHOWN} of {count}")


def _cell(value: object) -> str:
    return "NULL" if value is None else plain_line(str(value))


def _typed() -> Iterator[str]:
    """The lines that are typed; without a terminal, those that are piped in, without a prompt."""
    terminal = sys.stdin.isatty()
    with _history() if terminal else contextlib.nullcontext():
        while True:
            try:
                line = input(PROMPT if terminal else "").strip()
            except KeyboardInterrupt:
                err.print()  # the line is gone, the conversation goes on
                continue
            except EOFError:
                return
            except UnicodeDecodeError:
                err.print("error: that line is not UTF-8", style="red")
                continue
            if line:
                yield line


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Line editing, and the lines of earlier conversations; a place that cannot be written keeps none."""
    try:
        import readline
    except ImportError:  # not on every system
        yield
        return
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    file = state / "t2s" / "history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            readline.write_history_file(file)
