"""The guard before the router: a route that is added later, and a path that does not exist, are closed too."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Sequence
from typing import Any

from t2s.serve.access import Digest, digest
from t2s.serve.http import failure

OPEN_PATHS = frozenset({"/healthz"})


class Guard:
    """ASGI middleware: 401 for everything but :data:`OPEN_PATHS` unless one of the tokens comes along.

    Without tokens everybody may call who can reach this; then ``local_only`` answers 403 to a call by a name that is
    not localhost. A web page can point a name of its own at 127.0.0.1 (DNS rebinding), and the browser would let it
    read what it asks.
    """

    def __init__(self, app: Any, digests: Sequence[Digest], local_only: bool = False) -> None:
        """``digests`` are of the tokens."""
        self.app, self.digests = app, tuple(digests)
        self.local_only = local_only and not digests

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, or answer 401 or 403."""
        if self.local_only and scope["type"] == "http" and not _is_local(scope["headers"]):
            line = "without a token this answers as localhost only, not by another name: set serve.token_file"
            return await failure(scope["path"], 403, line)(scope, receive, send)
        if not self.digests or scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS:
            return await self.app(scope, receive, send)
        if scope["type"] == "http" and self._is_known(_given(scope["headers"])):
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        # A browser that opens the page can only send a password; it then sends it with the page's own calls too.
        scheme = 'Basic realm="t2s: the token is the password"' if scope["path"] == "/" else "Bearer"
        response = failure(
            scope["path"], 401, "a bearer token is needed, and the right one", {"WWW-Authenticate": scheme}
        )
        await response(scope, receive, send)

    def _is_known(self, token: str | None) -> bool:
        """Every digest is compared, each in constant time: how long it takes tells nothing."""
        given = digest(token or "")
        found = [hmac.compare_digest(given, known) for known in self.digests]
        return token is not None and any(found)


def _is_local(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether ``Host`` is an address or localhost; a name can be anybody's."""
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1:
        return not hosts  # HTTP/1.0 has none, and no browser speaks it
    host = hosts[0].rpartition(":")[0] if hosts[0].rpartition(":")[2].isdecimal() else hosts[0]
    try:
        return bool(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _given(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The token of the one ``Authorization`` header: ``Bearer TOKEN``, or the password of ``Basic``."""
    values = [value for name, value in headers if name.lower() == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, rest = values[0].decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
