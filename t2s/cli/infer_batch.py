"""Answer a file of questions so that a batch that was killed goes on and asks nothing twice.

Answers are appended to ``OUTPUT.part`` as they come: a first line that says what is asked of whom, then one line an
answer, with the row's number. A torn last line is cut off. When all are there, the output is written under its name,
in the input's order, and the part is removed. Not covered: two batches with one output at the same time on different
machines (on one machine the second is refused).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from t2s.cli.console import meter, say
from t2s.cli.infer_files import Asked, answered, json_line, write_answers
from t2s.cli.plain import plain_json
from t2s.errors import ConfigError, DataError
from t2s.generate.core import Generation, Request

CHUNK = 2048
"""Rows handed to a model at a time: enough to sort by length, few enough to begin at once."""
Stream = Callable[[Sequence[Request]], Iterator[Sequence[tuple[int, Generation]]]]
"""Requests to ``(position, answer)`` pairs, in any order: :meth:`t2s.generate.engine.Generator.stream` and its like."""


def part_of(output: Path) -> Path:
    """Where answers are while the batch runs."""
    return output.with_name(f"{output.name}.part")


def in_chunks(stream: Stream) -> Stream:
    """``stream`` of :data:`CHUNK` requests after the other."""

    def chunked(requests: Sequence[Request]) -> Iterator[Sequence[tuple[int, Generation]]]:
        for start in range(0, len(requests), CHUNK):
            for batch in stream(requests[start : start + CHUNK]):
                yield [(start + position, answer) for position, answer in batch]

    return chunked


def answer_file(
    stream: Stream, asked: Sequence[Asked], requests: Sequence[Request], output: Path, about: Mapping[str, str]
) -> None:
    """Answer what ``OUTPUT.part`` does not hold yet, then write ``output``. ``about`` says who answers."""
    part = part_of(output)
    with _opened(part) as kept:
        found = _take_up(kept, part, {**about, "questions": _digest(asked)})
        if found:
            say(f"going on after {len(found)} of {len(asked)} answers in {part}")
        todo = [number for number in range(len(asked)) if number not in found]
        with meter("answering") as progress:
            for number, answer in _answers(stream, requests, todo, kept):
                found[number] = answer
                progress.update(len(found), len(asked))
        rows = [answered(each.row, *found[number], about["adapter"]) for number, each in enumerate(asked)]
        write_answers(rows, output)
        part.unlink()
    say(f"{len(rows)} answers in {output}")


def answer_to_stdout(stream: Stream, asked: Sequence[Asked], requests: Sequence[Request], adapter: str) -> None:
    """The same as JSON Lines, in the input's order, on standard output; nothing is kept."""
    found: dict[int, Generation] = {}
    with meter("answering") as progress:
        for batch in stream(requests):
            found |= dict(batch)
            progress.update(len(found), len(requests))
    for number, each in enumerate(asked):
        row = answered(each.row, found[number].sql, found[number].finished, adapter)
        sys.stdout.write(plain_json(json_line(row)) + "\n")


def _answers(
    stream: Stream, requests: Sequence[Request], todo: Sequence[int], kept: IO[bytes]
) -> Iterator[tuple[int, tuple[str, bool]]]:
    """Each answer after it is safe on disk."""
    for batch in stream([requests[number] for number in todo]):
        done = [(todo[position], (answer.sql, answer.finished)) for position, answer in batch]
        lines = [json.dumps({"row": n, "sql": sql, "finished": finished}) for n, (sql, finished) in done]
        kept.write("".join(line + "\n" for line in lines).encode())
        kept.flush()
        os.fsync(kept.fileno())
        yield from done


@contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """The part, for this process alone."""
    try:
        stream = part.open("a+b")
    except OSError as error:
        raise ConfigError(f"--output: {part} cannot be written: {error.strerror}; name another place") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"--output: another batch writes {part}: wait for it or name another file") from None
        yield stream


def _take_up(stream: IO[bytes], part: Path, about: Mapping[str, str]) -> dict[int, tuple[str, bool]]:
    """The answers that are there; a new part gets its first line, one of another batch is refused."""
    stream.seek(0)
    content = stream.read()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        stream.truncate(len(whole))
    lines = whole.splitlines()
    if not lines:
        stream.write(json.dumps({"batch": dict(about)}).encode() + b"\n")
        stream.flush()
        return {}
    try:
        before = dict(json.loads(lines[0])["batch"])
        found = {int(row["row"]): (str(row["sql"]), bool(row["finished"])) for row in map(json.loads, lines[1:])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{part}: is not what a batch left ({error!r}): remove it to begin anew") from None
    other = [name for name in about if before.get(name) != about[name]]
    if other:
        raise ConfigError(
            f"{part}: is of a batch with another {' and '.join(other)}: go on as it began, remove it, "
            "or name another --output"
        )
    return found


def _digest(asked: Sequence[Asked]) -> str:
    """What all questions are, in their order."""
    digest = hashlib.sha256()
    for each in asked:
        digest.update(json_line(each.row).encode("utf-8", "backslashreplace") + b"\n")
        digest.update(repr(each.source.schema).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()[:16]
