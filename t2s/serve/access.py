"""Who may call: bearer tokens, and no public address without one. :mod:`t2s.serve.guard` holds the door.

The application holds SHA-256 digests only, so that no token is in its settings, its messages or a traceback.
Not covered: encryption (without TLS in front, a token is readable on the way) and guessing (no attempt is counted, so
tokens must be long). Ray Serve's own paths below ``/-/`` answer without a token; they hold no data of the application.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Sequence

from t2s.config import ServeConfig
from t2s.errors import ConfigError, SetupError

TOKEN_VARIABLE = "T2S_SERVE_TOKEN"
MIN_TOKEN_CHARS = 16
Digest = bytes


def digest(token: str) -> Digest:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def load_digests(config: ServeConfig) -> tuple[Digest, ...]:
    """The digests of the tokens in ``serve.token_file``, or of the one in T2S_SERVE_TOKEN; empty if there is neither.

    Raises:
        SetupError: the file cannot be read.
        ConfigError: it holds no token, or one is too short to be safe.
    """
    if config.token_file is None:
        text, where = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        tokens = [text.strip()] if text.strip() else []
    else:
        where = f"serve.token_file={config.token_file}"
        try:
            lines = config.token_file.expanduser().read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{where}: cannot be read: {type(error).__name__}") from None
        tokens = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not tokens:
            raise ConfigError(f"{where}: holds no token; make one: openssl rand -hex 32")
    if any(len(token) < MIN_TOKEN_CHARS for token in tokens):
        raise ConfigError(f"{where}: a token is shorter than {MIN_TOKEN_CHARS} characters; try: openssl rand -hex 32")
    return tuple(map(digest, tokens))


def check_address(config: ServeConfig, digests: Sequence[Digest]) -> None:
    """Raise a :class:`ConfigError` for an address that others can reach, if anybody could ask there."""
    if digests or config.allow_public or is_loopback(config.host):
        return
    raise ConfigError(
        f"serve.host={config.host} can be reached from outside, and there is no token: set serve.token_file or "
        f"{TOKEN_VARIABLE}, or serve.host=127.0.0.1, or serve.allow_public=true"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
