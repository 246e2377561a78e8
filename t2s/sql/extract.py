"""The first SQL statement in what a model wrote: models go on with a next question, a fence, an explanation.

Only the first statement counts: looking through all of them for one that happens to be right would score
a model for answers that it did not give.
"""

from __future__ import annotations

import re

_OPENING = re.compile(r"\s*(?:```[^\S\n]*\w*[^\S\n]*(?:\n|$)?|SQL\s*:|\*\*SQL\*\*\s*:?)", re.IGNORECASE)
_STATEMENT = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_LATER_STATEMENT = re.compile(
    r"(?:^|\n)[^\S\n]*(?:```[^\S\n]*\w*[^\S\n]*\n|SQL\s*:)?\s*(?=(?:SELECT|WITH)\b)", re.IGNORECASE
)
_NEXT_EXAMPLE = re.compile(r"(?:^|\n)[^\S\n]*(?:QUESTION|TABLE)\s*:", re.IGNORECASE)
# Of four backticks the first closes a name: FROM `t`, and then a fence.
_END = re.compile(r"\n[^\S\n]*(?:\n|(?:QUESTION|TABLE|SQL)\s*:)|\n?[^\S\n]*```(?!`(?!`))", re.IGNORECASE)
_SPECIAL = re.compile(r"""[;'"`\[]""")
_QUOTED = {"'": "'", '"': '"', "`": "`", "[": "]"}


def extract_sql(text: str) -> str:
    """The statement without fences, labels, semicolon and what follows; ``""`` if there is none."""
    text = _statement_start(text.replace("\r\n", "\n"))
    # What can end a statement early holds one of these; most texts hold none, and are many.
    end = _END.search(text) if "\n" in text or "```" in text else None
    text = text[: end.start()] if end else text
    return (text[: _semicolon(text)] if ";" in text else text).strip()


def _statement_start(text: str) -> str:
    """``text`` from its statement on: past labels and fences, else past prose before a line with SELECT."""
    while opening := _OPENING.match(text):
        text = text[opening.end() :]
    text = text.lstrip()
    if _STATEMENT.match(text):
        return text
    later = _LATER_STATEMENT.search(text)
    following = _NEXT_EXAMPLE.search(text)
    # A SELECT after the next QUESTION: answers a question that the model has made up.
    if later and not (following and following.start() < later.start()):
        return text[later.end() :]
    return text


def _semicolon(text: str) -> int:
    """The position of the first ``;`` outside quotes, or the length of ``text``."""
    at = 0
    while special := _SPECIAL.search(text, at):
        at, char = special.start(), special.group()
        if char == ";":
            return at
        # A doubled quote inside closes and opens again, to the same effect. An unclosed one is plain text.
        closing = text.find(_QUOTED[char], at + 1)
        at = closing + 1 if closing >= 0 else at + 1
    return len(text)
