"""A user's own data: JSON lines of question, SQL and either a schema or a database, read strictly.

Each line is ``{"question": ..., "sql": ..., "schema": "TABLE: t ( id (real), name (text) )"}``, or with
``"database": "shop.db"`` (SQLite or DuckDB) for ``schema``; then execution can be measured. ``"table"`` or
``"tables"`` narrows the schema, ``"id"`` names the example. See ``docs/your-data.md``.

Every fault of all files is collected before one error is raised; nothing is skipped unless ``skip_bad`` says so.
Not covered: whether a gold query runs and finds something; ``t2s data check`` tries that.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, get_args

from t2s.data.core import Splits
from t2s.data.faults import Faults, rejects_path
from t2s.data.lines import LineFault, objects
from t2s.data.own import ExampleReader, OwnExample
from t2s.data.splitting import Shares, check_leaks, check_shared_databases, split_by
from t2s.errors import ConfigError, DataError, suggest

SPLITS = ("train", "val", "test")
WHOLE = "data.jsonl"
SplitBy = Literal["database", "question"]

log = logging.getLogger(__name__)


class JsonlPipeline:
    """Questions, SQL and schemas or databases of a user's own.

    Args:
        path: a directory with ``train.jsonl``, ``val.jsonl`` and ``test.jsonl``; or one with ``data.jsonl``, or one
            file, which is then split.
        cache_dir: where rejected lines are written.
        skip_bad: leave lines at fault out, and write them down.
        split: how one file is split: so that no ``database`` (or schema string), or no ``question`` apart from its
            values, is in two splits. None is ``database``.
        val_share, test_share: their shares of the lines of one file.
        seed: another seed splits one file otherwise.
        allow_shared_databases: let train, val and test files ask about the same of several databases. (A data set
            that has only one database may always do so; it is said.)
        databases: the folder of the database files, from the data's folder; None is that folder.
    """

    def __init__(
        self,
        path: Path,
        cache_dir: Path = Path("runs/cache"),
        skip_bad: bool = False,
        split: SplitBy | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        seed: int = 0,
        allow_shared_databases: bool = False,
        databases: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.cache_dir = Path(cache_dir)
        self.faults = Faults(skip_bad)
        self.split = _choice(split)
        self.shares = Shares(val_share, test_share, seed)
        self.allow_shared_databases = _boolean("allow_shared_databases", allow_shared_databases)
        if databases is not None and not isinstance(databases, str):
            raise ConfigError(f"data.options.databases: expected a folder, found {databases!r}")
        self.databases = databases

    def prepare(self) -> Splits:
        """Read all three splits.

        Raises:
            DataError: every fault with file and line (the first 20), also what splits share.
            ConfigError: one file cannot be split as asked.
        """
        self.faults = Faults(self.faults.skip_bad)
        whole = self._whole()
        splits = self._read_whole(whole) if whole else self._read_three()
        train, val, test = ([own.example for own in split] for split in splits)
        return train, val, test

    def _whole(self) -> Path | None:
        """The one file that holds everything, or None for three files."""
        if self.path.is_file():
            return self.path
        if not self.path.is_dir():
            raise DataError(f"data.path={self.path}: no such directory; expected one with {_names()}, or {WHOLE}")
        if not (self.path / WHOLE).exists():
            return None
        if any((self.path / f"{split}.jsonl").exists() for split in SPLITS):
            raise DataError(f"{self.path}: holds {WHOLE} and files of splits; keep one kind, or name a file: data.path")
        return self.path / WHOLE

    def _read_whole(self, path: Path) -> list[list[OwnExample]]:
        lines = self._read(path, self._reader(path.parent))
        self._settle()
        return split_by(self.split or "database", lines, path, self.shares)

    def _read_three(self) -> list[list[OwnExample]]:
        if self.split is not None:
            log.warning("data.options.split=%s has no effect: %s is split by its files", self.split, self.path)
        reader = self._reader(self.path)
        splits = [self._read(self._file(split), reader) for split in SPLITS]
        splits = check_leaks(splits, self.faults)
        check_shared_databases(splits, self.path, self.faults, self.allow_shared_databases)
        self._settle()
        return splits

    def _reader(self, folder: Path) -> ExampleReader:
        databases = folder / (self.databases or "")
        if not databases.is_dir():
            raise DataError(f"data.options.databases={self.databases}: no such folder, seen from {folder}")
        return ExampleReader(databases)

    def _file(self, split: str) -> Path:
        path = self.path / f"{split}.jsonl"
        if split == "val" and not path.exists() and (self.path / "dev.jsonl").exists():
            self.faults.add(path, 0, "no such file; rename dev.jsonl to val.jsonl")
        return path

    def _read(self, path: Path, reader: ExampleReader) -> list[OwnExample]:
        """The examples of one file; what is wrong with the others goes to ``faults``."""
        if any(fault.path == path for fault in self.faults.found):
            return []
        lines: dict[str, OwnExample] = {}
        for number, record in objects(path, self.faults.report(path)):
            try:
                own = reader.read(record, path, number)
                if own.example.id in lines:
                    raise LineFault(f"id {own.example.id!r} occurs twice; ids must differ")
                lines[own.example.id] = own
            except LineFault as fault:
                self.faults.add(path, number, str(fault))
        if not lines and self.faults.skip_bad and not any(not f.line for f in self.faults.found if f.path == path):
            self.faults.add(path, 0, "not one good line in it; run without data.skip_bad to see what is wrong")
        return list(lines.values())

    def _settle(self) -> None:
        self.faults.settle(self.path, rejects_path(self.cache_dir, self.path))


def _names() -> str:
    return ", ".join(f"{split}.jsonl" for split in SPLITS)


def _choice(split: object) -> SplitBy | None:
    known: tuple[SplitBy, ...] = get_args(SplitBy)
    for name in known:
        if split == name:
            return name
    if split is None:
        return None
    near = suggest(split, known) if isinstance(split, str) else ""
    raise ConfigError(f"data.options.split: {split!r} is not one of {', '.join(known)}{near}")


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"data.options.{name}: expected true or false, found {value!r}")
    return value
