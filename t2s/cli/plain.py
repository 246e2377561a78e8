"""Text of others for a terminal: what would move its cursor, hide or reorder what is read is shown, not obeyed.

Models write escape sequences, and so do people into tables. Not covered: letters that look like other letters.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters but the line break: escape sequences begin with one
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    "\u2028\u2029\ud800-\udfff]"  # breaks of lines in some terminals; halves of characters, which cannot be written
)


def plain(text: str) -> str:
    """``text`` on several lines if it has them, everything that a terminal would act on as ``\\x1b`` or ``\\u202e``."""
    return _UNSAFE.sub(_shown, text)


def plain_line(text: str) -> str:
    """The same on one line: for cells and messages."""
    return plain(text).replace("\n", "\\n")


def plain_json(text: str) -> str:
    """JSON that says the same without such characters."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
