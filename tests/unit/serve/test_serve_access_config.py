"""Tokens and addresses, before a process starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from serve_rig import TOKEN

from t2s.config import load
from t2s.errors import ConfigError, SetupError
from t2s.serve.access import TOKEN_VARIABLE, digest, load_digests
from t2s.serve.run import check_access


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "'::'", "192.0.2.7", "myhost.example"])
def test_a_public_address_without_a_token_is_refused_with_the_cures(host: str) -> None:
    with pytest.raises(ConfigError, match=r"serve\.token_file .* serve\.allow_public=true"):
        check_access(load([], [f"serve.host={host}"]))


@pytest.mark.parametrize("settings", [["serve.host=0.0.0.0", "serve.allow_public=true"], ["serve.host=::1"], []])
def test_loopback_and_a_forced_address_need_no_token(settings: list[str]) -> None:
    assert check_access(load([], settings)) == ()


def test_a_token_from_the_environment_opens_a_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert check_access(load([], ["serve.host=0.0.0.0"])) == (digest(TOKEN),)


def test_a_file_holds_a_token_a_line_and_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    (tmp_path / "tokens").write_text("# of the team\nfirst-token-0123456\n\n second-token-0123456 \n")
    config = load([], [f"serve.token_file={tmp_path}/tokens"]).serve
    assert load_digests(config) == (digest("first-token-0123456"), digest("second-token-0123456"))


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, SetupError), (b"\xff\xfe", SetupError), (b"# none\n", ConfigError), (b"short", ConfigError)],
)
def test_a_file_without_a_usable_token_is_one_line_without_its_content(
    tmp_path: Path, content: bytes | None, error: type[Exception]
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(error, match=r"serve\.token_file=") as caught:
        load_digests(load([], [f"serve.token_file={tmp_path}/tokens"]).serve)
    assert "short\n" not in str(caught.value) and "\n" not in str(caught.value)
