"""The sandbox as its callers see it: rows, kinds of failure, caps, threads, and what survives a killed child."""

from __future__ import annotations

import os
import pickle
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import DataError, SQLError
from t2s.sql.sandbox import ExecutionFailed, InvalidSQL, Limits, Refused, Result, Sandbox, TimedOut
from t2s.sql.sandbox.guard import harden_quotes

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sandbox") / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE items (id INTEGER, name TEXT, photo BLOB);"
            "CREATE TABLE secrets (word TEXT);"
            "CREATE VIEW names AS SELECT name FROM items;"
            "INSERT INTO items VALUES (1, 'Tea', x'00ff10'), (2, 'Rïce', NULL), (3, CAST(x'ff41' AS TEXT), 2.5);"
            "INSERT INTO secrets VALUES ('swordfish');"
        )
    return path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=1.0, max_rows=100, max_bytes=10_000)) as opened:
        yield opened


def test_rows_come_back_with_their_types_and_blobs_as_a_marker(sandbox: Sandbox, database: Path) -> None:
    result = sandbox.run(database, 'SELECT id, name AS "the name", photo FROM items ORDER BY "id" DESC;')
    assert isinstance(result, Result)
    assert result.columns == ("id", "the name", "photo")
    assert result.rows == ((3, "\ufffdA", 2.5), (2, "Rïce", None), (1, "Tea", "<blob of 3 bytes>"))
    assert not result.truncated
    assert 0 < result.elapsed_s < 1


@pytest.mark.parametrize(
    ("sql", "failure", "message"),
    [
        ("SELEC 1", InvalidSQL, "expected SELECT"),
        ("SELECT '\0'", InvalidSQL, "NUL"),
        ("SELECT '\ud800'", InvalidSQL, "surrogate"),
        ("SELECT 1; SELECT 2", Refused, "expected one statement, found 2"),
        ("DELETE FROM items", Refused, "only one read-only SELECT runs here"),
        ("SELECT " + "1+" * 6000 + "1", Refused, "at most 10000"),
        ("SELECT printf('x')", Refused, "printf"),
        ("SELECT name FROM sqlite_master", Refused, "sqlite_master"),
        ("SELECT nope FROM items", ExecutionFailed, "no such column: nope"),
        ('SELECT "nope" FROM items', ExecutionFailed, "no such column: nope"),
        ('SELECT name FROM items ORDER BY "nope"', ExecutionFailed, "no such column: nope"),
        ("SELECT name FROM items WHERE \"nope\" = 'x'", ExecutionFailed, "no such column: nope"),
        ("SELECT 1 FROM nowhere", ExecutionFailed, "no such table: nowhere"),
        (ENDLESS, TimedOut, "longer than 1 s"),
    ],
)
def test_each_failure_has_its_kind(
    sandbox: Sandbox, database: Path, sql: str, failure: type[SQLError], message: str
) -> None:
    with pytest.raises(failure, match=message) as caught:
        sandbox.run(database, sql)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (failure, str(caught.value))


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ('SELECT id FROM items WHERE name = "Tea"', ((1,),)),
        ('SELECT id FROM items WHERE "name" IN ("Tea", "x") AND "id" BETWEEN "id" AND 5', ((1,),)),
        ('SELECT i."id" FROM items AS i WHERE \'Tea\' = i."name" -- "', ((1,),)),
        ('SELECT "id" AS "n;" FROM "items" WHERE "id" > 1 GROUP BY "n;" HAVING "n;" < 3', ((2,),)),
        ('WITH "x y" AS (SELECT id FROM items) SELECT COUNT(*) FROM "x y"', ((3,),)),
        ("VALUES (1, 'a')", ((1, "a"),)),
    ],
)
def test_double_quotes_are_names_and_values_where_each_belongs(
    sandbox: Sandbox, database: Path, sql: str, rows: tuple[tuple[object, ...], ...]
) -> None:
    assert sandbox.run(database, sql).rows == rows


def test_hardening_changes_nothing_but_the_quotes_of_names() -> None:
    sql = """SELECT "a""b`c", '"é"', [d] FROM "t🙂" WHERE "e" = "f" AND g."h" LIKE "i" -- "j\""""
    assert harden_quotes(sql) == (
        """SELECT `a"b``c`, '"é"', [d] FROM `t🙂` WHERE `e` = "f" AND g.`h` LIKE "i" -- "j\""""
    )


def test_only_the_listed_tables_are_read(sandbox: Sandbox, database: Path) -> None:
    assert sandbox.run(database, "SELECT COUNT(*) FROM ITEMS", ["items"]).rows == ((3,),)
    assert sandbox.run(database, "SELECT COUNT(*) FROM names", ["names", "items"]).rows == ((3,),)
    for sql in (
        "SELECT * FROM secrets",
        "SELECT COUNT(*) FROM secrets",
        "SELECT id FROM items WHERE EXISTS (SELECT 1 FROM secrets)",
        "WITH items AS (SELECT word FROM secrets) SELECT * FROM items",
        "SELECT (SELECT word FROM secrets) FROM items",
        "SELECT 'swordfish' IN secrets",
        "SELECT COUNT(*) FROM sqlite_schema",
    ):
        with pytest.raises(Refused):
            sandbox.run(database, sql, ["items"])
    with pytest.raises(Refused):
        sandbox.run(database, "SELECT name FROM names", ["names"])


def test_rows_and_bytes_are_capped_and_it_says_so(sandbox: Sandbox, database: Path) -> None:
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT {}) SELECT {} FROM r"
    exact = sandbox.run(database, numbers.format(100, "n"))
    assert (len(exact.rows), exact.truncated) == (100, False)
    many = sandbox.run(database, numbers.format(101, "n"))
    assert (len(many.rows), many.truncated) == (100, True)
    wide = sandbox.run(database, numbers.format(50, "replace('ééééé', 'é', 'éééééééééééééééééééééééééééééééé')"))
    assert wide.truncated
    assert 0 < sum(len(row[0].encode()) for row in wide.rows if isinstance(row[0], str)) <= 10_000


def test_a_changed_file_is_read_anew(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "x.db"
    for value in (1, 2):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TABLE t AS SELECT {value} AS a")
            connection.commit()
        assert sandbox.run(path, "SELECT a FROM t").rows == ((value,),)


def test_a_missing_or_damaged_database_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(DataError, match="none"):
        sandbox.run(tmp_path / "none.db", "SELECT 1")
    (tmp_path / "bad.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ExecutionFailed, match="not a database"):
        sandbox.run(tmp_path / "bad.db", "SELECT * FROM t")


def test_a_write_ahead_database_is_read_without_a_trace(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "wal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        connection.commit()
        assert sandbox.run(path, "SELECT a FROM t").rows == ((7,),)
    assert sandbox.run(path, "SELECT a FROM t").rows == ((7,),)
    assert [file.name for file in tmp_path.iterdir()] == ["wal.db"]


def test_threads_share_a_pool_and_get_their_own_answers(database: Path) -> None:
    with Sandbox(Limits(), workers=2) as sandbox, ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda n: sandbox.run(database, f"SELECT {n}").rows, range(200))
        assert list(answers) == [((n,),) for n in range(200)]


def test_a_killed_child_is_replaced(database: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.run(database, "SELECT 1")
        next(iter(sandbox._children)).kill()
        assert sandbox.run(database, "SELECT 2").rows == ((2,),)


def test_closing_ends_a_query_in_the_middle(database: Path) -> None:
    sandbox = Sandbox(Limits(timeout_s=30))
    failures: list[SQLError] = []

    def run() -> None:
        try:
            sandbox.run(database, ENDLESS)
        except SQLError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    sandbox.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(failures) == 1
    with pytest.raises(ExecutionFailed, match="closed"):
        sandbox.run(database, "SELECT 1")


def test_no_child_outlives_a_process_that_never_closed_its_sandbox(database: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from t2s.sql.sandbox import Sandbox; s = Sandbox();"
        "s.run(Path(sys.argv[1]), 'SELECT 1'); print(next(iter(s._children))._process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(database)], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_child_has_an_empty_environment(sandbox: Sandbox, database: Path) -> None:
    environ = Path(f"/proc/{_pid(sandbox, database)}/environ")
    if not environ.parent.is_dir():
        pytest.skip("needs /proc")
    # Python itself sets the locale that it has chosen.
    names = {entry.split(b"=")[0] for entry in environ.read_bytes().split(b"\0") if entry}
    assert names <= {b"LC_CTYPE"}


def _pid(sandbox: Sandbox, database: Path) -> int:
    sandbox.run(database, "SELECT 1")
    return next(iter(sandbox._children))._process.pid


def test_a_warm_query_costs_a_few_milliseconds(sandbox: Sandbox, database: Path) -> None:
    times = []
    for _ in range(200):
        started = time.perf_counter()
        sandbox.run(database, 'SELECT "name" FROM items WHERE "id" = 1 AND "name" = \'Tea\'')
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.005


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"max_rows": -1}, {"memory_mb": 10}])
def test_impossible_limits_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SQLError, match=next(iter(limits))):
        Limits(**limits)
