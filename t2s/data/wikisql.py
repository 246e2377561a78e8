"""WikiSQL (Zhong et al. 2017, arXiv:1709.00103) from a directory, an archive, or a fetched copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.data.archive import unpack
from t2s.data.core import Example, Splits
from t2s.data.faults import Faults, rejects_path
from t2s.data.layout import read_split
from t2s.errors import DataError

ARCHIVE_NAME = "wikisql.tar.bz2"
"""What ``t2s data fetch`` calls the archive in the cache."""

TABLE_NAME = "table"
"""WikiSQL's tables have no names that a question could use; all are called this in the prompt."""


class WikiSQLPipeline:
    """The official splits: ``dev`` is validation.

    Args:
        path: a directory with ``data/`` or with the files themselves, or an archive of them; None is the copy
            that ``t2s data fetch`` left in ``cache_dir``.
        cache_dir: where archives are unpacked.
        skip_bad: leave lines at fault out, and write them down in ``cache_dir``.
    """

    def __init__(self, path: Path | None = None, cache_dir: Path = Path("runs/cache"), skip_bad: bool = False) -> None:
        self.path = Path(path) if path is not None else None
        self.cache_dir = Path(cache_dir)
        self.faults = Faults(skip_bad)

    def root(self) -> Path:
        """The directory to read from, unpacking the archive if need be."""
        path = self.path or self.cache_dir / ARCHIVE_NAME
        if path.is_dir():
            return path
        if path.exists():
            return unpack(path, self.cache_dir)
        cure = "check data.path" if self.path else "run `t2s data fetch`, or set data.path to a directory or archive"
        raise DataError(f"no WikiSQL at {path}: {cure}")

    def prepare(self) -> Splits:
        """Read all three splits. Raises :class:`DataError` with file and line of every fault."""
        root = self.root()
        self.faults = Faults(self.faults.skip_bad)
        train, dev, test = (read_split(root, split, _name, self.faults) for split in ("train", "dev", "test"))
        self.faults.settle(root, rejects_path(self.cache_dir, root))
        return train, dev, test

    def read(self, root: Path, split: str) -> list[Example]:
        """Read one split, called by its official name (``train``, ``dev``, ``test``); every fault is refused."""
        return read_split(root, split, _name)


def _name(record: dict[str, Any]) -> str:
    return TABLE_NAME
