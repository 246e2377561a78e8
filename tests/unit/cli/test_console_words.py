"""What is printed to be typed next."""

from __future__ import annotations

import sys

import pytest

from t2s.cli.console import same_settings


def test_the_same_settings_are_told_in_whatever_form_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--config=FILE`` and ``-cFILE`` were left out, so that the next command had other settings."""
    words = ["train", "-c", "a.yaml", "--config", "b.yaml", "--config=c d.yaml", "-ce.yaml", "lora.r=8", "--name", "x"]
    monkeypatch.setattr(sys, "argv", ["t2s", *words])
    assert same_settings() == "-c a.yaml -c b.yaml -c 'c d.yaml' -c e.yaml lora.r=8"
