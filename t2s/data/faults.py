"""What is wrong with a data set: all of it counted, the first of it shown; refused, or left out and written down.

Never silent: with ``skip_bad`` the lines at fault go to a rejects file, and one warning says how many and where.
A file as a whole (missing, empty, UTF-16, no database) cannot be skipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from t2s.data.lines import Report, place, raw_lines
from t2s.errors import DataError, SetupError

MAX_SHOWN = 20
MAX_REJECTED_CHARS = 2_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of one file and what is wrong with it; line 0 is the file as a whole."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{place(self.path, self.line)}: {self.reason}"


@dataclass
class Faults:
    """Collects the faults of several files; :meth:`settle` decides what becomes of them."""

    skip_bad: bool = False
    found: list[Fault] = field(default_factory=list)

    def add(self, path: Path, line: int, reason: str) -> None:
        """Remember a fault."""
        self.found.append(Fault(path, line, reason))

    def report(self, path: Path) -> Report:
        """A report for the reader of one file."""
        return lambda line, reason: self.add(path, line, reason)

    def settle(self, subject: Path, rejects: Path | None = None) -> None:
        """Do nothing without faults; else write the ``rejects`` and warn, or refuse.

        Args:
            subject: the data set, for the message.
            rejects: the file for the lines left out, written anew; needed with ``skip_bad``.

        Raises:
            DataError: there are faults and ``skip_bad`` is off, or a whole file is at fault.
            SetupError: ``rejects`` cannot be written.
        """
        whole = [fault for fault in self.found if not fault.line]
        if self.found and (whole or not self.skip_bad or rejects is None):
            raise DataError(self._summary(subject, whole))
        if self.found and rejects is not None:
            write_rejects(self.found, rejects)
            log.warning(
                "%d bad %s of %s left out (data.skip_bad); they are in %s with the reasons",
                len(self.found), "line" if len(self.found) == 1 else "lines", subject, rejects,
            )  # fmt: skip

    def _summary(self, subject: Path, whole: list[Fault]) -> str:
        shown = whole if whole and self.skip_bad else self.found
        if len(shown) == 1:
            return str(shown[0])
        more = [f"... and {len(shown) - MAX_SHOWN} more"] if len(shown) > MAX_SHOWN else []
        cure = [] if whole else ["mend them, or leave such lines out with data.skip_bad=true"]
        return "\n".join([f"{len(shown)} faults in {subject}:", *map(str, shown[:MAX_SHOWN]), *more, *cure])


def rejects_path(cache_dir: Path, subject: Path) -> Path:
    """Where the lines left out of the data set ``subject`` are written; one file for each data set."""
    place = subject.resolve()
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return cache_dir / f"rejects-{place.stem or 'data'}-{digest}.jsonl"


def write_rejects(faults: Iterable[Fault], to: Path) -> None:
    """Write a JSON line ``{"file", "line", "reason", "text"}`` a fault, by file and line; replaces the file.

    ``text`` is the line as it stands, bytes that are no UTF-8 as ``\\xff``, cut at 2,000 characters.
    """
    by_file: dict[Path, dict[int, str]] = {}
    for fault in faults:
        by_file.setdefault(fault.path, {})[fault.line] = fault.reason
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=to.parent, delete=False) as file:
            for path, reasons in by_file.items():
                for number, text in _texts(path, set(reasons)):
                    record = {"file": str(path), "line": number, "reason": reasons[number], "text": text}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
        Path(file.name).replace(to)
    except OSError as error:
        raise SetupError(f"cannot write the rejected lines to {to}: {error.strerror}; set data.cache_dir") from error


def _texts(path: Path, wanted: set[int]) -> Iterable[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in raw_lines(file):
            if number in wanted:
                text = line[: MAX_REJECTED_CHARS * 4].decode("utf-8", "backslashreplace").rstrip("\r\n")
                yield number, text[:MAX_REJECTED_CHARS]
