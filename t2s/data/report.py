"""What ``t2s data check`` found: counts, the first findings as text, everything as JSON, and a page of Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from t2s.errors import ConfigError, SetupError

SPLITS = ("train", "val", "test")
SUFFIXES = (".json", ".md")
MAX_SHOWN = 5
MAX_ON_PAGE = 50
MAX_READ_BY_GRAMMAR = 500
"""Golds of a split that are held to the grammar, evenly drawn: each takes some milliseconds."""

KINDS = {
    "duplicates": "same question, schema and SQL as an earlier one",
    "contradictions": "same question and schema as an earlier one, other SQL",
    "empty": "gold finds nothing (any empty answer counts as right)",
    "failing": "gold fails",
    "refused": "gold is refused by the sandbox",
    "not_read_back": "SQL does not read back as its logical form",
    "too_long": "too long",
    "unwritable": "gold that inference.grammar cannot write",
}
"""The kinds of finding, by the field of :class:`SplitReport`."""


@dataclass
class SplitReport:
    """What was found in one split; the lists hold ``id`` or ``id: what is wrong``."""

    examples: int = 0
    tables: int = 0
    without_rows: int = 0
    duplicates: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    not_read_back: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    unwritable: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was found in all splits; ``leaks`` are errors, ``shared_tables`` are for the reader to judge.

    ``limit`` says what is too long, ``grammar`` which one was held against the golds. ``rejected`` are the lines at
    fault; ``rejects`` is the file that holds them if ``skip_bad`` left them out, else they are errors.
    """

    splits: dict[str, SplitReport] = field(default_factory=lambda: {name: SplitReport() for name in SPLITS})
    leaks: list[str] = field(default_factory=list)
    shared_tables: list[str] = field(default_factory=list)
    limit: str = ""
    grammar: str = "none"
    rejected: list[str] = field(default_factory=list)
    rejects: str | None = None

    @property
    def errors(self) -> int:
        """Findings that make a score wrong: questions in two splits, golds of val and test that give no rows, bad SQL.

        A gold of train that fails teaches little and scores nothing: it is shown, and no error.
        """
        dead = sum(len(self.splits[name].failing) + len(self.splits[name].refused) for name in SPLITS[1:])
        refused = len(self.rejected) if self.rejects is None else 0
        return refused + len(self.leaks) + dead + sum(len(split.not_read_back) for split in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {**asdict(self), "errors": self.errors}

    def rows(self) -> list[list[str]]:
        """A line for each kind of finding, a column for each split."""
        counted = {
            "examples": "examples",
            "tables": "tables or databases",
            "without_rows": "examples without rows (no EX)",
        }
        rows = [[name, *(str(getattr(split, key)) for split in self.splits.values())] for key, name in counted.items()]
        for key in self._kinds():
            rows.append([self._title(key), *(str(len(getattr(split, key))) for split in self.splits.values())])
        return rows

    def findings(self, most: int = MAX_SHOWN) -> list[str]:
        """Lines that name the first findings of each kind."""
        lines: list[str] = []
        for name, split in self.splits.items():
            for key in self._kinds():
                lines += _first(f"{name}: {self._title(key)}", getattr(split, key), most)
        lines += _first("the same question over the same schema in two splits", self.leaks, most)
        shared = "tables or databases in two splits: the score says little about unseen ones"
        lines += _first(shared, self.shared_tables, most)
        bad = f"bad lines left out, see {self.rejects}" if self.rejects else "bad lines"
        return lines + _first(bad, self.rejected, most)

    def to_markdown(self, title: str) -> str:
        """The table and up to 50 findings of each kind."""
        head = f"# {_cell(title)}\n\n{self.errors} errors.\n\n| | {' | '.join(SPLITS)} |\n| --- |{' ---: |' * 3}\n"
        rows = "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in self.rows())
        fence = "````"
        found = "\n".join(self.findings(MAX_ON_PAGE)).replace(fence, "'" * 4) or "Nothing was found."
        return f"{head}{rows}\n\n{fence}text\n{found}\n{fence}\n"

    def _kinds(self) -> list[str]:
        return [key for key in KINDS if key != "unwritable" or self.grammar != "none"]

    def _title(self, key: str) -> str:
        details = {"too_long": self.limit, "unwritable": f"{self.grammar}; of at most {MAX_READ_BY_GRAMMAR} a split"}
        return f"{KINDS[key]} ({details[key]})" if details.get(key) else KINDS[key]


def check_report_path(path: Path) -> None:
    """Raise :class:`ConfigError` unless a report can be named so."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--report {path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def write_report(report: Report, path: Path, title: str) -> None:
    """Write ``path``, as JSON or Markdown by its ending. Raise :class:`SetupError` if that fails."""
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if path.suffix == ".json" else report.to_markdown(title), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write the report {path}: {error.strerror}") from error


def _first(title: str, findings: Sequence[str], most: int) -> list[str]:
    if not findings:
        return []
    more = [f"  ... and {len(findings) - most} more"] if len(findings) > most else []
    return [f"{title}: {len(findings)}", *(f"  {finding}" for finding in findings[:most]), *more]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
