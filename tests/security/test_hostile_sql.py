"""Hostile statements, through the first layer and past it straight into the child: nothing may change on disk."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import SQLError
from t2s.sql.sandbox import Limits, Refused, Sandbox

# {new} is a path that does not exist; {other} is another database.
HOSTILE = [
    # Writing.
    "INSERT INTO t VALUES (2)",
    "INSERT INTO t SELECT * FROM t",
    "INSERT OR REPLACE INTO t VALUES (2)",
    "REPLACE INTO t VALUES (2)",
    "UPDATE t SET a = 9",
    "DELETE FROM t",
    "DELETE FROM t RETURNING a",
    "DROP TABLE t",
    "DROP TABLE IF EXISTS t",
    "DROP VIEW v",
    "CREATE TABLE u (a)",
    "CREATE TABLE u AS SELECT * FROM t",
    "CREATE TEMP TABLE u (a)",
    "CREATE VIEW w AS SELECT * FROM t",
    "CREATE INDEX i ON t (a)",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t ADD COLUMN b",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "WITH x AS (SELECT 1) DELETE FROM t",
    "WITH x AS (SELECT 1) UPDATE t SET a = 2",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
    "SELECT * INTO u FROM t",
    "SELECT 1; DROP TABLE t",
    "SELECT 1;;; DELETE FROM t --",
    "SELECT 1 /* ; */ ; DELETE FROM t",
    "EXPLAIN DELETE FROM t",
    # Other files.
    "ATTACH '{new}' AS other",
    "ATTACH DATABASE '{other}' AS other",
    "ATTACH ':memory:' AS m",
    "ATTACH 'file:{new}?mode=rwc' AS other",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '{new}'",
    "VACUUM main INTO '{new}'",
    # Settings.
    "PRAGMA query_only = 0",
    "PRAGMA writable_schema = 1",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA hard_heap_limit = 0",
    "PRAGMA table_info(t)",
    "SELECT * FROM pragma_table_info('t')",
    "SELECT COUNT(*) FROM pragma_database_list",
    # Transactions and upkeep.
    "BEGIN",
    "BEGIN IMMEDIATE",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    "ANALYZE",
    "REINDEX",
    # Functions that read or write files, load code, or fill memory.
    "SELECT load_extension('/tmp/evil.so')",
    "SELECT load_extension('{other}')",
    "SELECT writefile('{new}', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('x', x'00')",
    "SELECT printf('%.*c', 500000000, 'x')",
    "SELECT format('%500000000d', 1)",
    "SELECT length(zeroblob(1000000000))",
    "SELECT randomblob(1000000000)",
    "SELECT char(65, 66)",
    "SELECT sqlite_source_id(), sqlite_version()",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT a FROM t WHERE load_extension('x') OR 1",
    # What it may not see.
    "SELECT * FROM sqlite_master",
    "SELECT * FROM main.sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT COUNT(*) FROM sqlite_master",
    "SELECT * FROM secrets",
    "SELECT a FROM t UNION SELECT word FROM secrets",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT value FROM json_each('[1]')",
    "SELECT * FROM sqlite_stmt",
    # Not SQL, or not SQLite's.
    "COPY t TO '/tmp/x'",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
    ".shell id",
    ".import /etc/passwd t",
    "EXEC xp_cmdshell 'id'",
    "GRANT ALL ON t TO public",
    "SET x = 1",
    "\0DROP TABLE t",
    "SELECT 1\0; DROP TABLE t",
    "",
    ";",
    "--",
    "/*",
]
# EXPLAIN tells what a statement would do and does not do it; the child lets EXPLAIN SELECT through.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("shop.db", "other.db"):
        with closing(sqlite3.connect(folder / name)) as connection:
            connection.executescript(
                "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT a FROM t;"
                "CREATE TABLE secrets (word TEXT); INSERT INTO secrets VALUES ('swordfish');"
            )
    return folder


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=1.0)) as opened:
        yield opened


def state(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("layer", ["all layers", "past the parser"])
@pytest.mark.parametrize("statement", HOSTILE)
def test_a_hostile_statement_gives_nothing_and_changes_nothing(
    sandbox: Sandbox, folder: Path, statement: str, layer: str
) -> None:
    sql = statement.format(new=folder / "new.db", other=folder / "other.db") if "{" in statement else statement
    before = state(folder)
    run = sandbox.run if layer == "all layers" else sandbox._execute
    with pytest.raises(SQLError):
        run(folder / "shop.db", sql, ["t", "v"])
    assert state(folder) == before
    assert sandbox.run(folder / "shop.db", "SELECT a FROM t").rows == ((1,),)


def test_the_parser_alone_refuses_every_write(sandbox: Sandbox, folder: Path) -> None:
    writes = HOSTILE[: HOSTILE.index("PRAGMA table_info(t)")]
    for sql in writes:
        with pytest.raises(Refused, match="only one read-only SELECT"):
            sandbox.run(folder / "shop.db", sql)
