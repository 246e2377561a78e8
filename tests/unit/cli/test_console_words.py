"""What is printed to be typed next."""

from __future__ import annotations

import sys

import pytest

from t2s.cli.console import same_settings, say, table


def test_the_same_settings_are_told_in_whatever_form_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--config=FILE`` and ``-cFILE`` were left out, so that the next command had other settings."""
    words = ["train", "-c", "a.yaml", "--config", "b.yaml", "--config=c d.yaml", "-ce.yaml", "lora.r=8", "--name", "x"]
    monkeypatch.setattr(sys, "argv", ["t2s", *words])
    assert same_settings() == "-c a.yaml -c b.yaml -c 'c d.yaml' -c e.yaml lora.r=8"


def test_what_others_wrote_is_shown_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """A promotion's reason comes from a registry that others write to, a cell from a database."""
    hostile = "better\x1b[2J\u202e"
    say(hostile)
    table(hostile, ["name", hostile], [["a", hostile]])
    shown = capsys.readouterr()
    assert "\x1b" not in shown.err + shown.out and "\u202e" not in shown.err + shown.out
    assert "better\\x1b[2J\\u202e" in shown.err and shown.out.count("better\\x1b[2J\\u202e") == 3
