"""Strict reading of JSON Lines: UTF-8, one object a line, nothing skipped in silence.

Refused though Python's ``json`` takes it: NaN and infinities, ``1e999``, whole numbers beyond 64 bits (which no
database holds), a key that occurs twice in one object, half of a surrogate pair. Accepted: ``\\r\\n`` at the end of
a line, and a last line without a line break.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from t2s.errors import DataError

MAX_LINE_BYTES = 16_000_000
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")

Report = Callable[[int, str], None]
"""Called with a line number (from 1; 0 is the file as a whole) and what is wrong there."""

Fail = Callable[[int, str], NoReturn]
"""A report that does not come back."""


def raising(path: Path) -> Fail:
    """A report that stops at the first fault with a :class:`DataError` that names the file and the line."""

    def report(number: int, fault: str) -> NoReturn:
        raise DataError(f"{place(path, number)}: {fault}")

    return report


def place(path: Path, number: int) -> str:
    """``file.jsonl:12``, or just the file for line 0."""
    return f"{path}:{number}" if number else str(path)


class LineFault(Exception):
    """What is wrong with one line."""


def objects(path: Path, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number, object)``; lines at fault go to ``report`` and are left out."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in raw_lines(file):
                if number == 1 and line.startswith(UTF_16):
                    report(0, "is UTF-16; save it as UTF-8 without a byte order mark")
                    return
                try:
                    value = _object(number, line)
                except LineFault as fault:
                    report(number, str(fault))
                else:
                    yield number, value
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        report(0, "no such file" if missing else f"cannot be read: {error.strerror or error}")
    else:
        if not number:
            report(0, "is empty; expected one JSON object a line")


def raw_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """``(line number, bytes)``; of a line above ``MAX_LINE_BYTES`` only that beginning and one byte more."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
        yield number, line
        rest = line
        while len(rest) > 1 << 19 and not rest.endswith(b"\n"):
            rest = file.readline(1 << 20)


def _object(number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise LineFault(f"longer than {MAX_LINE_BYTES} bytes; split it, or is a line break missing?")
    if number == 1 and line.startswith(BOM):
        raise LineFault("starts with a byte order mark; save the file as UTF-8 without BOM")
    if not line.strip():
        raise LineFault("empty line; expected one JSON object a line")
    try:
        value = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:
            _refuse_half_characters(value)
    except UnicodeDecodeError as error:
        raise LineFault(f"not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineFault(f"not JSON: {error.msg} at column {error.colno}{_likely_cause(line)}") from error
    except RecursionError as error:
        raise LineFault("not JSON that can be read: it nests too deeply") from error
    except ValueError as error:
        raise LineFault(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise LineFault(f"expected a JSON object, found {json_type(value)}")
    return value


def _likely_cause(line: bytes) -> str:
    if b"\0" in line:
        return " (it holds zero bytes: the file is UTF-16 or damaged; save it as UTF-8)"
    if not line.endswith(b"\n"):
        return " (the last line: is the file cut off?)"
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; write null or leave the field out")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) < 19 or (len(text) <= 20 and -(2**63) <= int(text) < 2**63):
        return int(text)
    raise ValueError(f"the number {text[:40]} is beyond 64 bits; write it as a string")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object")
    return built


def _refuse_half_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"{half} is half of a character (a lone surrogate); write the whole one") from error


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_without_repeats
)


def json_type(value: object) -> str:
    """What JSON calls the type of ``value``, with an article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
