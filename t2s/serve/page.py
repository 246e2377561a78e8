"""The playground at ``/``: one document made of the files in ``playground/``, and what a browser may do with it.

Its own script and style run, known by their hashes; it may call this host, and nothing else. The script cannot turn
text into markup: the browser refuses that (trusted types), whatever a cell, a header or the model says. Not covered:
what a browser's extensions do with the page.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from fastapi.responses import HTMLResponse

SCRIPTS = ("dom.js", "call.js", "data.js", "answer.js", "history.js", "page.js")
"""Parts of one module, in this order."""


def playground() -> HTMLResponse:
    """The page, with its policy."""
    html, policy = _document()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)


@functools.cache
def _document() -> tuple[str, str]:
    """The document and its Content-Security-Policy. In one piece, so that no version meets a style of another."""
    style, script = _file("page.css"), "".join(map(_file, SCRIPTS))
    assert "</style" not in style and "</script" not in script, "the element would end there"
    html = _file("index.html").replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return html, policy


def _file(name: str) -> str:
    return resources.files("t2s.serve").joinpath("playground", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a policy names an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
