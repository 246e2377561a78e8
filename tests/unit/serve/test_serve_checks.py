"""What is checked before a process starts, and the limits of requests."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from pydantic import ValidationError

from t2s.config import load
from t2s.errors import DataError, SetupError
from t2s.serve.run import base_url, check_databases, check_port
from t2s.serve.schemas import MAX_BODY_BYTES, MAX_QUESTION_CHARS, MAX_SCHEMA_CHARS, Ask


def test_a_port_in_use_names_the_port_and_the_cure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"serve\.port={port}: .*for example serve\.port={port + 1}"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="cannot listen"):
        check_port("203.0.113.1", 8000)


@pytest.mark.parametrize("content", [None, b"", b"not a database at all, but long enough to be one" * 10])
def test_a_database_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "firm.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"serve\.databases\.firm: "):
        check_databases(load([], [f"serve.databases.firm={path}"]))


def test_a_database_with_a_table_passes(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "firm.db") as database:
        database.execute("CREATE TABLE t (a)")
    check_databases(load([], [f"serve.databases.firm={tmp_path / 'firm.db'}"]))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
        ("::1", "http://[::1]:8123"),
        ("10.0.0.7", "http://10.0.0.7:8123"),
    ],
)
def test_an_endpoint_on_all_addresses_is_called_on_loopback_and_ipv6_in_brackets(host: str, url: str) -> None:
    assert base_url(load([], [f'serve.host="{host}"', "serve.port=8123"])) == url


@pytest.mark.parametrize(
    "body",
    [
        {"question": "q", "schema": "s", "database": "d"},
        {"question": "q", "schema": "s", "table": "t"},
        {"question": "", "schema": "s"},
        {"question": "q", "schema": "s", "extra": 1},
        {"question": "q", "database": "d", "execute": "yes"},
    ],
)
def test_a_request_is_strict(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Ask.model_validate(body)


def test_the_longest_legal_request_fits_the_body_limit() -> None:
    import json

    body = {"question": "é" * MAX_QUESTION_CHARS, "schema": "é" * MAX_SCHEMA_CHARS}
    Ask.model_validate(body)
    assert len(json.dumps(body)) < MAX_BODY_BYTES
