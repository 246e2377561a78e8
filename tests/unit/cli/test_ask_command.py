"""``t2s ask`` against a server that answers as it is told to: what is retried, what is said, what is never obeyed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from t2s.cli.main import run

Reply = tuple[int, Any]
ANSWER: dict[str, Any] = {
    "sql": 'SELECT "name" FROM people',
    "verdict": "ok",
    "detail": "",
    "columns": ["name"],
    "rows": [["Ann"], [None]],
    "truncated": False,
    "adapter": {"version": "3", "run_id": None},
    "base": "tiny",
    "timing_ms": {"generate": 1.0, "execute": 1.0, "total": 12.0},
}


class Endpoint(ThreadingHTTPServer):
    """Gives ``replies`` in turn, the last one for ever; None closes the connection without an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Reply | None] = [(200, ANSWER)]
        self.asked: list[tuple[dict[str, Any], str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((body, self.headers["Authorization"]))
        reply = self.server.replies.pop(0) if len(self.server.replies) > 1 else self.server.replies[0]
        if reply is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content = reply
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.delenv("T2S_SERVE_TOKEN", raising=False)
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(endpoint: Endpoint, *words: str) -> int:
    return run(["ask", "Who?", "--db", "shop", "--url", endpoint.url, *words])


def test_an_answer_is_sql_rows_and_who_wrote_it(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2S_SERVE_TOKEN", "s3cret-canary")
    assert ask(endpoint, "--table", "people", "--no-execute") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith('SELECT "name" FROM people\n2 rows') and "Ann" in shown.out and "NULL" in shown.out
    assert "adapter 3 on tiny, 12 ms" in shown.err and "s3cret" not in shown.out + shown.err
    body = {"question": "Who?", "database": "shop", "table": "people", "execute": False}
    assert endpoint.asked == [(body, "Bearer s3cret-canary")]


def test_full_and_broken_endpoints_are_asked_again(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.replies = [(429, {"error": "full"}), (503, {"error": "draining"}), None, (200, ANSWER)]
    assert ask(endpoint, "--json") == 0
    assert json.loads(capsys.readouterr().out) == ANSWER and len(endpoint.asked) == 4


@pytest.mark.parametrize(
    ("status", "expected", "asked"), [(400, 3, 1), (401, 3, 1), (413, 3, 1), (504, 1, 1), (503, 1, 5)]
)
def test_a_refusal_is_one_line_and_no_retry_unless_it_helps(
    status: int, expected: int, asked: int, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.replies = [(status, {"error": "no such\x1b[2J database"})]
    assert ask(endpoint) == expected
    error = capsys.readouterr().err
    assert f"HTTP {status}" in error and error.count("\n") == 1 and len(endpoint.asked) == asked
    assert "\x1b" not in error


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://h:abc", "http://[::1", "shop"])
def test_an_address_that_is_none_is_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "Who?", "--db", "shop", "--url", url]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is not an endpoint's address; try http://127.0.0.1:8000" in error


def test_an_error_page_of_many_lines_is_one(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.replies = [(404, b"<html>\n<body>\nnot here\n</body>")]
    assert ask(endpoint) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_an_endpoint_that_is_silent_is_not_asked_again(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_POST", lambda handler: time.sleep(0.5))
    asked = time.monotonic()
    assert ask(endpoint, "--timeout", "0.2") == 1
    assert time.monotonic() - asked < 10 and "no answer within 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize("verdict", ["invalid_sql", "refused", "timeout", "execution_error"])
def test_a_verdict_that_is_no_answer_is_exit_1(
    verdict: str, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.replies = [(200, ANSWER | {"verdict": verdict, "detail": "no such column", "rows": [], "columns": []})]
    assert ask(endpoint) == 1
    assert f"{verdict.replace('_', ' ')}: no such column" in capsys.readouterr().err


def test_nothing_in_an_answer_reaches_the_terminal_as_a_command(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "x\x1b]0;owned\x07\x9b2J\u202e[bold]y"
    endpoint.replies = [(200, ANSWER | {"sql": evil, "columns": [evil], "rows": [[evil]], "base": evil})]
    assert ask(endpoint) == 0
    shown = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown.out + shown.err)
    assert r"x\x1b]0;owned\x07\x9b2J\u202e[bold]y" in shown.out
    assert ask(endpoint, "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["sql"] == evil and not {"\x1b", "\x9b", "\u202e"} & set(printed)


@pytest.mark.parametrize("page", [{"hello": "world"}, [1], b"<html>"])
def test_a_page_that_is_no_answer_is_said_to_be_none(
    page: object, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.replies = [(200, page)]
    assert ask(endpoint) == 1
    assert "is this a t2s endpoint?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Who?"], "either --db"),
        (["Who?", "--db", "x", "--schema", "TABLE: t ( a (real) )"], "either --db"),
        (["Who?", "--schema", "TABLE: t ( a (real) )", "--table", "t"], "--table goes with --db"),
        ([" ", "--db", "x"], "empty"),
        (["Who?", "--db", "x", "--timeout", "0"], "--timeout"),
    ],
)
def test_what_cannot_be_asked_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", *words]) == 2
    assert said in capsys.readouterr().err
