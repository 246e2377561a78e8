"""The conversation: commands, answers, and what does not end it."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from t2s.cli.infer_files import read_source
from t2s.cli.infer_repl import MAX_SHOWN, Conversation
from t2s.cli.plain import plain, plain_json, plain_line
from t2s.generate.core import Generation, Request


class Model:
    """Takes the question for the answer; two questions go wrong."""

    prompt = SimpleNamespace(sample_values=0)
    forgotten = 0

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        question = requests[0].question
        if question == "interrupt":
            raise KeyboardInterrupt
        if question == "crash":
            raise RuntimeError("out of memory\x1b[31m")
        return [Generation(question, question, 1, question != "cut")]

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE people (name TEXT, age INTEGER)")
        database.execute("CREATE TABLE secrets (word TEXT)")
        database.executemany("INSERT INTO people VALUES (?, ?)", [("Ann", 5), ("\x1b[2JBo\nB", None)])
    return tmp_path / "shop.db"


def converse(monkeypatch: pytest.MonkeyPatch, shop: Path, *lines: str, table: str | None = None) -> Model:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    Conversation(model := Model(), read_source(None, shop, table), {"mine": shop}).run()
    return model


def test_commands_say_what_is_asked_about(
    monkeypatch: pytest.MonkeyPatch, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (".help", ".tables", ".schema people", ".databases", ".open mine secrets", ".schema", ".quit", "never")
    converse(monkeypatch, shop, *lines)
    shown = capsys.readouterr()
    assert ".timing" in shown.out and "people\nsecrets\n" in shown.out and f"mine         {shop}" in shown.out
    assert "TABLE: people ( name (text), age (real) )\nmine" in shown.out
    assert shown.out.endswith("TABLE: secrets ( word (text) )\n") and "never" not in shown.out
    assert "error" not in shown.err


def test_answers_are_sql_and_rows_and_time(
    monkeypatch: pytest.MonkeyPatch, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(monkeypatch, shop, ".timing on", "SELECT name, age FROM people", "SELECT \x1b]0;x FROM people")
    shown = capsys.readouterr()
    assert "SELECT name, age FROM people\n2 rows" in shown.out and "NULL" in shown.out
    assert r"\x1b[2JBo\nB" in shown.out and r"SELECT \x1b]0;x" in shown.out
    assert "\x1b" not in shown.out + shown.err and "written in" in shown.err


def test_a_long_result_is_cut_and_says_so(
    monkeypatch: pytest.MonkeyPatch, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(shop) as database:
        database.executemany("INSERT INTO people VALUES ('x', ?)", [(n,) for n in range(60)])
    converse(monkeypatch, shop, "SELECT age FROM people")
    shown = capsys.readouterr()
    assert f"the first {MAX_SHOWN} of 62 rows" in shown.err and "│ 47 " in shown.out and "│ 48 " not in shown.out


def test_nothing_but_quit_ends_it(
    monkeypatch: pytest.MonkeyPatch, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        ".scheme",
        ".open nowhere.db",
        ".schema absent",
        "interrupt",
        "crash",
        "SELECT",
        "DROP TABLE people",
        "cut",
    )
    model = converse(monkeypatch, shop, *lines, "SELECT 41 + 1")
    shown = capsys.readouterr()
    assert "42" in shown.out and model.forgotten == 2
    for said in ("did you mean '.schema'", "no such database file", "no table 'absent'", "cancelled", "out of memory"):
        assert said in shown.err
    assert shown.err.count("not executed") == 3 and "the answer was cut" in shown.err and "\x1b" not in shown.err


def test_only_the_tables_that_are_asked_about_are_read(
    monkeypatch: pytest.MonkeyPatch, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(monkeypatch, shop, "SELECT word FROM secrets", table="people")
    assert "not executed" in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_shown() -> None:
    evil = "a\x1b[31m\x9b2J\r\u202eb\n\tc\x07\ud800"
    assert plain(evil) == r"a\x1b[31m\x9b2J\x0d\u202eb" + "\n" + r"\x09c\x07\ud800"
    assert "\n" not in plain_line(evil) and plain("Zoë 東京 😀") == "Zoë 東京 😀"
    assert plain_json('"\x7f\u202e"') == r'"\u007f\u202e"'
