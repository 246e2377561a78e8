"""Strict reading of JSON Lines: UTF-8, one object a line, no BOM, no NaN, nothing skipped in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from t2s.errors import DataError

MAX_LINE_BYTES = 16_000_000
BOM = b"\xef\xbb\xbf"

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
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
                try:
                    value = _object(number, line)
                except LineFault as fault:
                    report(number, str(fault))
                    if len(line) > MAX_LINE_BYTES:
                        return
                else:
                    yield number, value
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        report(0, "no such file" if missing else f"cannot be read: {error.strerror or error}")
    else:
        if not number:
            report(0, "is empty; expected one JSON object a line")


def _object(number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise LineFault(f"longer than {MAX_LINE_BYTES} bytes; the rest of the file was not read")
    if number == 1 and line.startswith(BOM):
        raise LineFault("starts with a byte order mark; save the file as UTF-8 without BOM")
    if not line.strip():
        raise LineFault("empty line; expected one JSON object a line")
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LineFault(f"not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineFault(f"not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise LineFault(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise LineFault(f"expected a JSON object, found {json_type(value)}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; write null or leave the field out")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def json_type(value: object) -> str:
    """What JSON calls the type of ``value``, with an article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
