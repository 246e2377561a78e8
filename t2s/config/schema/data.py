"""The section of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.config.schema.section import FilePath, Name, Section


class DataConfig(Section):
    """Which questions, tables and queries."""

    pipeline: Name = "wikisql"
    """``wikisql``, ``synthetic``, ``jsonl``, or ``package.module:Class`` with ``prepare() -> (train, val, test)``."""
    path: FilePath | None = None
    """A directory or archive for ``wikisql``, a directory or one file for ``jsonl``; None is the fetched archive. Also
    in object storage (``s3://bucket/data``, ``gs://``, ``abfss://``), of which a copy below ``cache_dir`` is read."""
    cache_dir: FilePath = Path("runs/cache")
    """Where archives are unpacked and generated tables are kept, and rejected lines written."""
    skip_bad: bool = False
    """Leave bad lines of ``wikisql`` and ``jsonl`` data out, counted and written to a rejects file, and go on."""
    options: dict[str, Any] = {}
    """Keywords for the pipeline's constructor, for example ``num_train`` of ``synthetic``."""
