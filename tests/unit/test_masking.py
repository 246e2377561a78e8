"""What counts as a secret in text, and what does not."""

from __future__ import annotations

import time

import pytest

from t2s.cli.console import next_steps
from t2s.masking import is_secret_name, mask, mask_settings, mask_word, tells_secret, without_password


@pytest.mark.parametrize(
    ("text", "masked", "plain"),
    [
        ("http://user:pw@mlflow:5000/x", "http://***@mlflow:5000/x", "http://mlflow:5000/x"),
        ("https://token@host/x", "https://***@host/x", "https://host/x"),
        ("postgresql://u:p/w@rd@h:5432/db", "postgresql://u:***@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgresql+psycopg2://u:5432pw@h/d", "postgresql+psycopg2://u:***@h/d", "postgresql+psycopg2://u@h/d"),
        ("redis://:pw@h/0", "redis://:***@h/0", "redis://h/0"),
        ("mysql://h/db?password=pw&x=1", "mysql://h/db?password=***&x=1", "mysql://h/db?password=***&x=1"),
        (
            "connect to 'http://u:pw@h:1/a', then",
            "connect to 'http://***@h:1/a', then",
            "connect to 'http://h:1/a', then",
        ),
        (
            "Authorization: Bearer abcdef0123456789",
            "Authorization: Bearer ***",
            "Authorization: Bearer abcdef0123456789",
        ),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***", "key AKIAABCDEFGHIJKLMNOP"),
        ("Authorization: Basic dTpwdw==", "Authorization: Basic ***", "Authorization: Basic dTpwdw=="),
        *((f"{token}!", "***!", f"{token}!") for token in (f"github_pat_{'a1' * 12}", f"glpat-{'a1' * 10}")),
    ],
)
def test_a_secret_in_a_text_is_masked_and_an_address_still_leads_there(text: str, masked: str, plain: str) -> None:
    assert mask(text) == masked and without_password(text) == plain and mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path@v1",
        "http://[::1]:5000/x@y",
        "models:/t2s@champion",
        "sqlite:////data/a@b.db",
        "git@github.com:a/b",
        "postgresql://me@host/db",
        "at 12:30 mail a@b.c, see http://h:80",
        "max_new_tokens=64",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text and without_password(text) == text


def test_values_of_secret_variables_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HF_TOKEN": "canary-1", "PGPASSWORD": "canary-1-longer", "MY_TOKEN": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PWD", "/home/somebody")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/secret-file")
    said = "got canary-1-longer and xcanary-1x, true, in /home/somebody, /run/secret-file"
    assert mask(said) == "got *** and x***x, true, in /home/somebody, /run/secret-file"


def test_settings_lose_passwords_at_any_depth_and_keep_the_rest() -> None:
    given = {"a": {"api_key": "k", "url": "ftp://u:p@h"}, "b": ["http://u:p@h", 3], "max_tokens": 5, "token_file": "x"}
    clean = {"a": {"api_key": "***", "url": "ftp://u@h"}, "b": ["http://h", 3], "max_tokens": 5, "token_file": "x"}
    assert mask_settings(given) == clean


def test_a_setting_with_a_token_under_a_name_that_tells_nothing_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-1")
    given = {"note": "canary-1", "more": ["hf_" + "a1" * 12, "plain"]}
    assert mask_settings(given) == {"note": "***", "more": ["***", "plain"]}


def test_a_secret_inside_a_mapping_on_the_command_line_is_told() -> None:
    word = "data.options={name: x, token: hunter2, 'api_key': 'a b', max_tokens: 5}"
    assert mask_word(word) == "data.options={name: x, token: ***, 'api_key': ***, max_tokens: 5}"
    assert tells_secret(word) and not tells_secret("data.options={num_train: 64, num_test: 16}")


@pytest.mark.parametrize("piece", ["a", "0f", "x://a:", "sk-", "a.b-", "?token="])
def test_a_long_word_takes_no_time(piece: str) -> None:
    """A word of 20,000 letters took seconds, and one of a megabyte would have taken hours."""
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 20


def test_names_of_secrets() -> None:
    secret = (
        "HF_TOKEN",
        "WANDB_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "MYSQL_PWD",
        "DB_PASS",
        "data.options.secret",
    )
    plain = ("TOKENIZERS_PARALLELISM", "RAY_AUTH_MODE", "serve.token_file", "inference.max_new_tokens", "KEYBOARD")
    assert [name for name in secret if not is_secret_name(name)] == []
    assert [name for name in plain if is_secret_name(name)] == []
    assert tells_secret("data.options.password=x") and not tells_secret("data.options.password=")


def test_the_commands_to_type_next_repeat_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    next_steps("t2s ui data.options.password=canary tracking.uri=http://u:canary@h    # pages")
    said = capsys.readouterr().err
    assert "t2s ui data.options.password=*** tracking.uri=http://***@h    # pages" in said
