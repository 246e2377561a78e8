"""The shared WikiSQL re-split, unpacked once a session, and its tables and questions by split."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t2s.sql.core import Column, LogicalForm, Table

SplitReader = Callable[[str], list[tuple[dict[str, Any], Table, LogicalForm]]]


@pytest.fixture(scope="session")
def wikisql_files(shared_wikisql: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``data/`` of the archive: all but the large ``train.db``."""
    folder = tmp_path_factory.mktemp("wikisql")
    with tarfile.open(shared_wikisql / "data.tar.bz2") as archive:
        for member in archive:
            if not member.name.endswith("train.db"):
                archive.extract(member, folder, filter="data")
    return folder / "data"


@pytest.fixture(scope="session")
def wikisql_split(wikisql_files: Path) -> SplitReader:
    """``wikisql_split("dev")`` is a list of (line, table, gold logical form)."""

    def read(split: str) -> list[tuple[dict[str, Any], Table, LogicalForm]]:
        tables = {}
        for raw in map(json.loads, (wikisql_files / f"{split}.tables.jsonl").open(encoding="utf-8")):
            columns = map(Column, raw["header"], raw["types"])
            tables[raw["id"]] = Table("table", tuple(columns))
        lines = map(json.loads, (wikisql_files / f"{split}.jsonl").open(encoding="utf-8"))
        return [(line, tables[line["table_id"]], LogicalForm.from_dict(line["sql"])) for line in lines]

    return read
