"""Text that others wrote, made safe to look at: control characters become visible.

A terminal obeys escape codes, and a reader is fooled by characters that turn the direction of writing. Not covered:
markup; an HTML page escapes that itself (:mod:`t2s.evaluate.report`).
"""

from __future__ import annotations

import unicodedata

_PLAIN = "\n\t"


def visible(text: str) -> str:
    """``text`` with control, format and surrogate characters as ``\\x1b`` or ``\\u202e``; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def one_line(text: str, most: int = 300) -> str:
    """:func:`visible` on one line, cut to ``most`` characters."""
    text = visible(" ".join(text.split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def _shown(char: str) -> str:
    # Zl and Zp break lines in a terminal and in a script; Cf holds the bidirectional overrides.
    if char in _PLAIN or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
