"""Who may call the endpoint. Routes are enumerated: one that is added later is closed, or fails here."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "serve"))
from serve_rig import SCHEMA, TOKEN, Rig

from t2s.serve import access, guard

BEARER = {"Authorization": f"Bearer {TOKEN}"}
OPEN = {"/healthz"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("closed"), token=TOKEN)
    yield made
    made.service.close()


def routes(rig: Rig) -> list[tuple[str, str]]:
    """(method, path) of everything that the application answers, however it is mounted."""
    return [(method, each.path) for each in rig.api.routes for method in getattr(each, "methods", None) or {"GET"}]


def test_every_route_but_health_needs_the_token(closed: Rig) -> None:
    found = routes(closed)
    assert {"/", "/metrics", "/openapi.json", "/readyz", "/v1/sql", "/v1/chat/completions"} <= {
        path for _, path in found
    }
    for method, path in found:
        status = closed.ask(method, path).status_code
        assert (status == 401) == (path not in OPEN), (method, path, status)
        assert closed.ask(method, path, headers=BEARER).status_code != 401, (method, path)


def test_a_route_that_is_added_later_and_one_that_is_not_there_are_closed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, token=TOKEN)
    rig.api.add_api_route("/new", lambda: "secret")
    for path in ("/new", "/nowhere", "/healthz/", "//healthz", "/healthz/../v1/databases", "/HEALTHZ"):
        assert rig.ask("GET", path).status_code == 401, path
    assert rig.ask("GET", "/new", headers=BEARER).json() == "secret"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token-of-enough-length"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": f"Token {TOKEN}"},
        {"Authorization": "Basic !!!"},
        {"Authorization": b"Bearer \xff\xfe"},
        [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {TOKEN}")],
        {"Cookie": f"token={TOKEN}"},
    ],
)
def test_without_the_right_token_in_the_right_place_it_is_401(closed: Rig, headers: Any) -> None:
    response = closed.ask("GET", f"/v1/databases?token={TOKEN}&access_token={TOKEN}", headers=headers)
    assert response.status_code == 401 and response.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in response.text and "\n" not in response.json()["error"]


def test_a_browser_may_send_the_token_as_a_password(closed: Rig) -> None:
    assert closed.ask("GET", "/").headers["WWW-Authenticate"].startswith("Basic ")
    assert closed.ask("GET", "/", auth=("anyone", TOKEN)).status_code == 200
    assert closed.ask("GET", "/v1/databases", auth=("anyone", "wrong")).status_code == 401


def test_a_websocket_is_closed(closed: Rig) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/sql", "headers": []}
    asyncio.run(closed.api(scope, None, send))  # type: ignore[arg-type]  # nothing is to be received
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_tokens_are_compared_in_constant_time_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    monkeypatch.setattr(guard.hmac, "compare_digest", lambda given, known: compared.append(known) or given == known)
    known = [access.digest(token) for token in (TOKEN, "another")]
    assert guard.Guard(None, known)._is_known(TOKEN) and compared == known


def test_the_token_is_in_no_log_no_answer_and_no_setting(closed: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = [closed.ask(method, path, headers=BEARER).text for method, path in routes(closed)]
    said.append(closed.post("/v1/sql", {"question": "x", "schema": "nonsense"}, headers=BEARER).text)
    held = [vars(closed.service), closed.config, [each.kwargs for each in closed.api.user_middleware]]
    assert not any(TOKEN in text for text in [*said, caplog.text, repr(held)])
    assert closed.post("/v1/sql", {"question": "x", "schema": SCHEMA}, headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("T2S.localhost:80", 200),
        ("rebound.example:8000", 403),
        ("127.0.0.1.example", 403),
        ("localhost.example", 403),
        ("", 403),
    ],
)
def test_without_a_token_a_name_that_a_web_page_pointed_here_is_not_answered(
    tmp_path: Path, host: str, status: int
) -> None:
    rig = Rig(tmp_path)
    assert rig.ask("GET", "/v1/databases", headers={"Host": host}).status_code == status
    (tmp_path / "with").mkdir()
    held = Rig(tmp_path / "with", token=TOKEN)
    assert held.ask("GET", "/v1/databases", headers={"Host": host, **BEARER}).status_code == 200, "a token is enough"
