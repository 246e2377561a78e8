"""What the tests of the sandbox share: databases to attack, corpora of statements, and a look at what changed."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

ENGINES = ("sqlite", "duckdb")
GRANTED = ["t", "v"]
CORPUS = Path(__file__).with_name("corpus")

COMMON = """
CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);
CREATE TABLE secrets (word TEXT); INSERT INTO secrets VALUES ('swordfish');
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'note');
CREATE INDEX i1 ON notes (body);
CREATE VIEW v AS SELECT a FROM t;
CREATE VIEW leak AS SELECT word FROM secrets;
"""
SQLITE_ONLY = "CREATE VIRTUAL TABLE docs USING fts5(body); INSERT INTO docs VALUES ('a word');"
DUCKDB_ONLY = """
CREATE SCHEMA side; CREATE TABLE side.s AS SELECT 'hidden' AS word; CREATE SEQUENCE q;
CREATE MACRO peek() AS (SELECT word FROM secrets); CREATE MACRO peeks() AS TABLE SELECT * FROM secrets;
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of a corpus."""

    kind: str
    sql: str

    def on(self, folder: Path) -> str:
        """The text, with the paths of ``folder`` filled in."""
        for name, file in (("{new}", "new.db"), ("{other}", "other.db"), ("{self}", "shop.db")):
            if name in self.sql:
                return self.sql.replace(name, str(folder / file))
        return self.sql


def read_corpus(name: str) -> list[Statement]:
    """The statements of a file under ``corpus/``; its head says how it is written."""
    statements = []
    kind = ""
    for line in (CORPUS / name).read_text(encoding="utf-8").split("\n"):
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            sql = line[3:].encode("latin-1").decode("unicode_escape") if line.startswith("\\e ") else line
            statements.append(Statement(kind, sql))
    return statements


def make_database(path: Path, engine: str, script: str) -> Path:
    """A new database file made by ``script``."""
    if engine == "duckdb":
        with duckdb.connect(path) as connection:
            connection.execute(script)
        return path
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def make_shop(folder: Path, engine: str) -> Path:
    """``shop.db`` and ``other.db`` in the new ``folder``; the path of the first."""
    folder.mkdir()
    extra = SQLITE_ONLY if engine == "sqlite" else DUCKDB_ONLY
    make_database(folder / "other.db", engine, COMMON)
    return make_database(folder / "shop.db", engine, COMMON + extra)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path under ``folder`` with its size and the time of its last change."""
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path in folder.rglob("*") for stat in [path.stat()]}


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    """As :func:`listing`, with the hash of each file."""
    return {
        path: (*seen, hashlib.sha256(Path(path).read_bytes()).hexdigest())
        for path, seen in listing(folder).items()
        if Path(path).is_file()
    }


def restore(folder: Path, pristine: Path) -> None:
    """Make ``folder`` a copy of ``pristine`` again."""
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)
