"""Secrets out of text: what a person, a log, a run's files or a cluster may see of settings and messages.

Covered: passwords in addresses (``postgresql://user:secret@host``, also unencoded ones with ``/`` or ``@``, and
``?password=...``), the values of environment variables that are called like secrets (HF_TOKEN, AWS_SECRET_ACCESS_KEY,
T2S_SERVE_TOKEN, ...), tokens of a known form, and values of settings that are called like secrets. Not covered: a
secret of less than :data:`MIN_CHARS` characters, or one that stands encoded, or under a name that tells nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
MIN_CHARS = 8
"""Shorter values of environment variables are left: they are words like ``true`` that stand everywhere."""

_NAME = re.compile(
    r"(?:^|[_.-])(?:token|(?:pg)?password|passwd|pwd|pass|passphrase|secret|credentials?|authorization|connection_string"
    r"|(?:api|access|private|secret|account)_?key|access_key_id)(?:$|[_.-])",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"(?:path|file|dir|mode|url|uri|name|type|count)$", re.IGNORECASE)
_FOLDERS = ("PWD", "OLDPWD")
"""Variables of the shell: the present and the last working directory, which are no passwords."""
_USERINFO = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]{0,30})://"
    r"(?:(?P<user>[^\s/'\"<>@:\[]{0,500}):(?!\d+(?:/|$))(?P<password>[^\s'\"<>]{0,2000})"
    r"|(?P<alone>[^\s/'\"<>@]{1,2000}))@"
)
"""``user:password@`` up to the last ``@``, since a password may hold ``/`` and ``@`` unencoded; or ``token@``. A number
and a slash after the colon are a port. The lengths are bounded, because a long word would take its square in time."""
_QUERY = re.compile(r"([?&;](?:ssl)?(?:password|passwd|pwd|token|secret|api_?key|access_?key|sig)=)[^&;\s'\"<>]+", re.I)
_FORMS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}|(?<=Authorization: Basic )[A-Za-z0-9+/=]{4,}"
)
_ENTRY = re.compile(r"""(?P<name>[\w.-]+)(?P<colon>["']?\s*:\s*)(?P<value>"[^"]*"|'[^']*'|[^\s,{}\[\]"']+)""")
"""A key and its value in a mapping on one line, ``{token: x}``."""


def mask(text: str) -> str:
    """``text`` with ``***`` for every secret in it that can be told."""
    for value in _known_values():
        text = text.replace(value, MASK)
    text = _USERINFO.sub(lambda found: _shown(found, f":{MASK}"), text)
    return _FORMS.sub(MASK, _QUERY.sub(rf"\1{MASK}", text))


def without_password(uri: str) -> str:
    """The address without its password, and over HTTP without its user; passwords of its query are masked."""
    return _QUERY.sub(rf"\1{MASK}", _USERINFO.sub(lambda found: _shown(found, ""), uri))


def mask_word(word: str) -> str:
    """A word of a command line without secrets: neither in itself, nor as the value of a setting called like one."""
    name, separator, value = word.partition("=")
    if separator and value and is_secret_name(name):
        return f"{name}={MASK}"
    if value.lstrip().startswith(("{", "[")):
        word = f"{name}={_ENTRY.sub(_shown_entry, value)}"
    return mask(word)


def tells_secret(word: str) -> bool:
    """Whether :func:`mask_word` would change it."""
    return mask_word(word) != word


def mask_settings(value: Any, name: str = "") -> Any:
    """Nested settings without secrets: addresses lose passwords, and what is a secret or called like one is ``***``."""
    if isinstance(value, Mapping):
        return {key: mask_settings(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mask_settings(inner, name) for inner in value)
    if not isinstance(value, str):
        return value
    return MASK if value and is_secret_name(name) else mask(without_password(value))


def is_secret_name(name: str) -> bool:
    """Whether a variable or a setting of this name holds a secret (and not, say, the path of a file with one)."""
    return bool(_NAME.search(name)) and not _NO_SECRET.search(name)


def _shown(found: re.Match[str], instead: str) -> str:
    """An address up to its host with ``instead`` for ``:password``. A name alone is a token over HTTP, else a user."""
    scheme, user = found["scheme"], found["user"]
    if scheme.lower().startswith("http"):
        return f"{scheme}://{MASK}@" if instead else f"{scheme}://"
    if user is None:
        return found.group()
    return f"{scheme}://{user}{instead}@" if user or instead else f"{scheme}://"


def _shown_entry(found: re.Match[str]) -> str:
    return f"{found['name']}{found['colon']}{MASK}" if is_secret_name(found["name"]) else found.group()


def _known_values() -> list[str]:
    """What the environment's secret variables hold, the longest first: one may be a part of another."""
    values = {value.strip() for name, value in os.environ.items() if is_secret_name(name) and name not in _FOLDERS}
    return sorted((value for value in values if len(value) >= MIN_CHARS), key=len, reverse=True)
