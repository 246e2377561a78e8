"""What is DuckDB's own in the sandbox: types, schemas, and that the settings hold by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_rig import make_database

from t2s.errors import DataError
from t2s.sql.sandbox import Limits, Refused, Sandbox, SandboxError

SCRIPT = """
CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);
CREATE TABLE "my.table" (a INTEGER); INSERT INTO "my.table" VALUES (2);
CREATE SCHEMA my; CREATE TABLE my.table_ (a INTEGER); INSERT INTO my.table_ VALUES (3);
CREATE SCHEMA side; CREATE TABLE side.t (a INTEGER); INSERT INTO side.t VALUES (4);
CREATE VIEW over AS SELECT a + 1 AS a FROM side.t;
CREATE MACRO upper(x) AS (SELECT 'mine');
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("duck") / "shop.db", "duckdb", SCRIPT)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=1.0)) as opened:
        yield opened


@pytest.fixture(scope="module")
def bare() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=2.0)) as opened:
        opened._pool.layers = frozenset({"connection", "deadline"})
        yield opened


def test_richer_types_come_as_numbers_and_texts(sandbox: Sandbox, database: Path) -> None:
    sql = """SELECT TIMESTAMPTZ '2020-01-01 12:00:00+02', DATE '2020-01-01', INTERVAL 1 DAY, [1, 2], 'x'::BLOB,
        1.50::DECIMAL(5, 2), true, 12345678901234567890123::HUGEINT, TIME '10:00', {'a': 1}.a, NULL"""
    assert sandbox.run(database, sql.replace("{'a': 1}.a", "1.0")).rows == (
        (
            "2020-01-01 10:00:00+00:00",
            "2020-01-01",
            "1 day, 0:00:00",
            "[1, 2]",
            "<blob of 1 bytes>",
            1.5,
            True,
            12345678901234567890123,
            "10:00:00",
            1.0,
            None,
        ),
    )


@pytest.mark.parametrize(
    ("tables", "readable"),
    [
        (["t"], {"t", "main.t", "shop.t", "shop.main.t"}),
        (["side.t"], {"side.t", "shop.side.t"}),
        (["my.table"], {'"my.table"', 'main."my.table"'}),
        (["My.Table_"], {"my.table_"}),
        (["over"], {"over"}),
        ([], set()),
    ],
)
def test_a_table_is_granted_by_its_whole_name(
    sandbox: Sandbox, database: Path, tables: list[str], readable: set[str]
) -> None:
    for name in (
        "t",
        "main.t",
        "shop.t",
        "shop.main.t",
        "side.t",
        "shop.side.t",
        '"my.table"',
        'main."my.table"',
        "my.table_",
        "over",
    ):
        for run in (sandbox.run, sandbox._execute):
            if name in readable:
                assert len(run(database, f"SELECT a FROM {name}", tables).rows) == 1
            else:
                with pytest.raises(Refused):
                    run(database, f"SELECT a FROM {name}", tables)


def test_the_users_macros_are_not_called_even_under_a_known_name(sandbox: Sandbox, database: Path) -> None:
    with pytest.raises(Refused, match="upper"):
        sandbox.run(database, "SELECT upper('x')")


@pytest.mark.parametrize(
    "sql",
    [
        "SET enable_external_access = true",
        "SET GLOBAL lock_configuration = false",
        "SET memory_limit = '100GB'",
        "SET threads = 8",
        "SET python_enable_replacements = true",
        "LOAD httpfs",
        "INSTALL httpfs",
        "ATTACH '/tmp/t2s-never-made.db' AS n",
        "COPY t TO '/tmp/t2s-never-made.csv'",
        "FROM '/etc/passwd'",
        "FROM read_text('/etc/passwd')",
        "FROM glob('/etc/*')",
        "INSERT INTO t VALUES (2)",
        "CREATE TABLE u (a INTEGER)",
        "FROM request",
    ],
)
def test_the_connection_holds_without_parser_and_authorizer(bare: Sandbox, database: Path, sql: str) -> None:
    with pytest.raises(SandboxError):
        bare._execute(database, sql)
    assert not list(Path("/tmp").glob("t2s-never-made*"))


def test_too_little_memory_for_duckdb_is_told(database: Path) -> None:
    with Sandbox(Limits(memory_mb=128)) as sandbox, pytest.raises(DataError, match="192"):
        sandbox.run(database, "SELECT 1")


def test_the_least_memory_is_enough_to_start_and_answer(database: Path) -> None:
    with Sandbox(Limits(memory_mb=192)) as sandbox:
        assert sandbox.run(database, "SELECT COUNT(*), SUM(a) FROM t GROUP BY a ORDER BY 1").rows == ((1, 1),)
