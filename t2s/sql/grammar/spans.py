"""Values that a query may compare with: any text and number, or only what a question says.

A *span* begins and ends where a word, a number or a punctuation mark does. Its letters may differ from the question's
in case: 38% of WikiSQL's string values do (``'Connecticut'`` where the question says ``connecticut``), and none in
anything else. A number is one that stands in the question, thousands' commas taken out.
"""

from __future__ import annotations

import math
import re

FREE_STRING = r"/'([^']|'')*'/"
FREE_NUMBER = r"/-?(0|[1-9][0-9]*)(\.[0-9]+)?(e(-[0-9][0-9][0-9]?|\+[012]?[0-9][0-9]|\+30[0-8]))?/"
"""What Python's ``repr`` writes for finite numbers."""

MAX_PIECES = 60
"""Longest span, in words, numbers, marks and the spaces between them; the longest of WikiSQL's golds has 38."""

_PIECE = re.compile(r"\s+|[^\W\d_]+|\d+|[^\w\s]|_")
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+")


def value_terminals(question: str | None) -> str:
    """The terminals STRING and NUMBER; free where there is no question, or nothing in it."""
    spans, numbers = (_spans(question), _numbers(question)) if question else ("", "")
    strings = f"/'({spans})'/i" if spans else FREE_STRING
    return f"STRING: {strings}\nNUMBER: {numbers or FREE_NUMBER}"


def pattern_terminal(question: str | None) -> str:
    """The terminal PATTERN, for LIKE: a value with ``%`` before it, after it, or both; free as above."""
    spans = _spans(question) if question else ""
    return f"PATTERN: /'%?({spans})%?'/i" if spans else f"PATTERN: {FREE_STRING}"


def pieces(question: str) -> list[str]:
    """A question in words, numbers, marks and spaces; joined they are the question."""
    return _PIECE.findall(" ".join(question.split()))


def _spans(question: str) -> str:
    parts = pieces(question)
    starts = [start for start, part in enumerate(parts) if not part.isspace()]
    alternatives = dict.fromkeys(_from(parts[start : start + MAX_PIECES]) for start in starts)
    return "|".join(alternatives)


def _from(parts: list[str]) -> str:
    """A regular expression for every beginning of ``parts`` that does not end in a space."""
    expression = ""
    for number in range(len(parts) - 1, -1, -1):
        if parts[number].isspace():
            expression = _escaped(parts[number]) + expression if expression else ""
        else:
            expression = _escaped(parts[number]) + (f"({expression})?" if expression else "")
    return expression


def _numbers(question: str) -> str:
    """Each number as Python writes it, signed too where a minus stands before it."""
    found: dict[str, None] = {}
    for match in _NUMBER.finditer(question):
        for text in {match.group(), *re.findall(r"\d+", match.group()), match.group().replace(",", "")}:
            if "," in text:
                continue
            sign = ["", "-"] if question[: match.start()].endswith(("-", "−")) else [""]
            found |= {f"{minus}{spelled}": None for minus in sign for spelled in _spelled(text)}
    return f"/{'|'.join(map(_escaped, sorted(found)))}/" if found else ""


def _spelled(text: str) -> list[str]:
    """``5`` and ``5.0``: WikiSQL writes whole numbers either way."""
    value = float(text)
    whole = [repr(int(value))] if value.is_integer() and math.isfinite(value) else []
    return [*whole, repr(value)] if math.isfinite(value) else whole


def _escaped(text: str) -> str:
    """Inside a regular expression between slashes, a quote of SQL doubled."""
    plain = (char if char.isascii() and (char.isalnum() or char == " ") else f"\\x{{{ord(char):x}}}" for char in text)
    return "".join(plain).replace("\\x{27}", "\\x{27}\\x{27}")
