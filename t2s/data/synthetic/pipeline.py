"""The ``synthetic`` pipeline: generate once into the cache, in the official layout, and read like WikiSQL."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from t2s.data.cache import build_once
from t2s.data.core import Example, Splits
from t2s.data.layout import read_split
from t2s.data.synthetic.splits import write_split
from t2s.errors import ConfigError


class SyntheticPipeline:
    """Questions over generated tables; the same options give the same data on every machine.

    Args:
        num_train, num_val, num_test: examples in each split, at least 1; there is a table for every six.
        seed: another seed draws other tables and questions from the same domains.
        cache_dir: where the generated files are kept.
    """

    def __init__(
        self,
        num_train: int = 3000,
        num_val: int = 300,
        num_test: int = 300,
        seed: int = 0,
        cache_dir: Path = Path("runs/cache"),
    ) -> None:
        self.sizes = {"train": num_train, "dev": num_val, "test": num_test}
        for name, size in (("num_train", num_train), ("num_val", num_val), ("num_test", num_test)):
            if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1_000_000:
                raise ConfigError(f"data.options.{name}: expected a whole number from 1 to 1000000, found {size!r}")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ConfigError(f"data.options.seed: expected a whole number, found {seed!r}")
        self.seed = seed
        self.cache_dir = Path(cache_dir)

    def root(self) -> Path:
        """The directory with the generated files, written on the first call."""
        options = {"sizes": self.sizes, "seed": self.seed, "generator": generator_version()}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
        return build_once(self.cache_dir / f"synthetic-{digest[:16]}", lambda aside: self._write(aside, options))

    def _write(self, aside: Path, options: dict[str, Any]) -> dict[str, Any]:
        folder = aside / "data"
        folder.mkdir()
        for split, size in self.sizes.items():
            write_split(folder, split, size, self.seed)
        return options

    def prepare(self) -> Splits:
        """Generate if need be, and read all three splits."""
        root = self.root()
        return self.read(root, "train"), self.read(root, "dev"), self.read(root, "test")

    def read(self, root: Path, split: str) -> list[Example]:
        """Read one split, called by its official name (``train``, ``dev``, ``test``)."""
        return read_split(root, split, lambda record: str(record["name"]))


def generator_version() -> str:
    """A digest of this package's source: changed code never reads old data out of the cache."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
