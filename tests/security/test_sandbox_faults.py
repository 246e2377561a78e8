"""What happens to the sandbox when things go wrong around it: kills, forks, replaced and strange files and paths."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from sandbox_rig import ENGINES, make_database, state

from t2s.errors import DataError, SQLError
from t2s.sql.sandbox import ExecutionFailed, Limits, Sandbox

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"
SCRIPT = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def database(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("faults") / "shop.db", engine, SCRIPT)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=5.0)) as opened:
        yield opened


def test_a_child_killed_between_queries_is_replaced(sandbox: Sandbox, database: Path) -> None:
    sandbox.run(database, "SELECT 1")
    for child in sandbox._pool.children:
        os.kill(child.pid, signal.SIGKILL)
    assert sandbox.run(database, "SELECT 2").rows == ((2,),)


def test_a_child_killed_during_a_query_fails_that_query_only(sandbox: Sandbox, database: Path) -> None:
    sandbox.run(database, "SELECT 1")

    def kill() -> None:
        time.sleep(0.2)
        for child in sandbox._pool.children:
            os.kill(child.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ExecutionFailed, match="ended its process"):
        sandbox.run(database, ENDLESS)
    thread.join()
    assert sandbox.run(database, "SELECT 2").rows == ((2,),)


def test_a_stopped_child_is_killed_when_its_time_is_over(database: Path) -> None:
    with Sandbox(Limits(timeout_s=0.5)) as sandbox:
        sandbox.run(database, "SELECT 1")
        (child,) = sandbox._pool.children
        os.kill(child.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(SQLError, match="longer than"):
            sandbox.run(database, "SELECT 1")
        assert time.monotonic() - started < 5  # and not for ever
        assert not _runs(child.pid)
        assert sandbox.run(database, "SELECT 2").rows == ((2,),)


def test_closing_ends_a_query_in_the_middle(database: Path) -> None:
    sandbox = Sandbox(Limits(timeout_s=30))
    sandbox.run(database, "SELECT 1")
    failures: list[SQLError] = []

    def run() -> None:
        try:
            sandbox.run(database, ENDLESS)
        except SQLError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    sandbox.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(failures) == 1
    with pytest.raises(ExecutionFailed, match="closed"):
        sandbox.run(database, "SELECT 1")


@pytest.mark.parametrize(
    ("how", "during"),
    [
        ("it ends", "between queries"),
        ("it is killed", "between queries"),
        ("it is killed", "in a query"),
        ("it is killed and a fork of it lives on", "in a query"),
    ],
)
def test_no_child_outlives_its_parent(database: Path, how: str, during: str) -> None:
    program = f"""
import os, sys, threading, time
from pathlib import Path
from t2s.sql.sandbox import Limits, Sandbox
sandbox = Sandbox(Limits(timeout_s=1.0))
sandbox.run(Path(sys.argv[1]), "SELECT 1")
fork = 0
if "fork" in {how!r}:
    fork = os.fork()
    if not fork:
        time.sleep(30)
        os._exit(0)
if "in a query" == {during!r}:
    threading.Thread(target=sandbox.run, args=(Path(sys.argv[1]), {ENDLESS!r}), daemon=True).start()
    time.sleep(0.2)
print(next(iter(sandbox._pool.children)).pid, fork, flush=True)
if "killed" in {how!r}:
    time.sleep(30)
"""
    with subprocess.Popen([sys.executable, "-c", program, str(database)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, fork = (int(word) for word in parent.stdout.readline().split())
        if "killed" in how:
            parent.kill()
        parent.wait()
        try:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and _runs(pid):
                time.sleep(0.02)
            assert not _runs(pid)
        finally:
            if fork:
                os.kill(fork, signal.SIGKILL)


def test_a_fork_gets_children_of_its_own(sandbox: Sandbox, database: Path) -> None:
    sandbox.run(database, "SELECT 1")
    before = {child.pid for child in sandbox._pool.children}
    fork = os.fork()
    if not fork:
        try:
            right = sandbox.run(database, "SELECT 2").rows == ((2,),)
            own = {child.pid for child in sandbox._pool.children}
            sandbox.close()
            os._exit(0 if right and not own & before else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    assert sandbox.run(database, "SELECT 3").rows == ((3,),)
    assert {child.pid for child in sandbox._pool.children} == before


def test_a_replaced_file_is_read_anew(tmp_path: Path, engine: str, sandbox: Sandbox) -> None:
    path = tmp_path / "x.db"
    for value in (1, 2, 3):
        made = make_database(tmp_path / "new.db", engine, f"CREATE TABLE t AS SELECT {value} AS a")
        made.replace(path)
        assert sandbox.run(path, "SELECT a FROM t").rows == ((value,),)


def test_a_file_may_become_one_of_the_other_engine(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "x.db"
    for engine in ("sqlite", "duckdb", "sqlite"):
        path.unlink(missing_ok=True)
        make_database(path, engine, SCRIPT)
        assert sandbox.run(path, "SELECT a FROM t").rows == ((1,),)


def test_the_owner_may_write_a_second_after_the_last_query(tmp_path: Path, engine: str, sandbox: Sandbox) -> None:
    path = make_database(tmp_path / "x.db", engine, SCRIPT)
    assert sandbox.run(path, "SELECT COUNT(*) FROM t").rows == ((1,),)
    time.sleep(1.5)
    make_database(path, engine, "INSERT INTO t VALUES (2)")
    assert sandbox.run(path, "SELECT COUNT(*) FROM t").rows == ((2,),)


def test_a_read_only_folder_is_enough(tmp_path: Path, engine: str, sandbox: Sandbox) -> None:
    folder = tmp_path / "shut"
    folder.mkdir()
    path = make_database(folder / "x.db", engine, SCRIPT)
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert sandbox.run(path, "SELECT a FROM t").rows == ((1,),)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["with space.db", "q?mode=rwc.db", "#hash.db", "100%41.db", "ünï 数.db", "a'b\"c.db", "md:x.db", ":memory:"]
)
def test_strange_paths_are_paths(tmp_path: Path, engine: str, sandbox: Sandbox, name: str) -> None:
    path = make_database(tmp_path / "plain.db", engine, SCRIPT).rename(tmp_path / name)
    before = state(tmp_path)
    if engine == "duckdb" and "?" in name:
        with pytest.raises(DataError, match="rename it"):
            sandbox.run(path, "SELECT a FROM t")
        return
    assert sandbox.run(path, "SELECT a FROM t").rows == ((1,),)
    assert state(tmp_path) == before


def test_a_relative_path_and_a_link_are_followed(
    tmp_path: Path, engine: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "x.db", engine, SCRIPT)
    (tmp_path / "link.db").symlink_to("x.db")
    monkeypatch.chdir(tmp_path)
    assert sandbox.run(Path("link.db"), "SELECT a FROM t").rows == ((1,),)


def test_an_empty_file_is_a_database_without_tables(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "empty.db").touch()
    assert sandbox.run(tmp_path / "empty.db", "SELECT 1").rows == ((1,),)
    with pytest.raises(ExecutionFailed, match="no such table"):
        sandbox.run(tmp_path / "empty.db", "SELECT * FROM t")
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_a_damaged_database_fails_and_the_next_query_works(
    tmp_path: Path, engine: str, sandbox: Sandbox, database: Path
) -> None:
    whole = database.read_bytes()
    for name, content in {
        "cut.db": whole[: len(whole) // 2],
        "head.db": whole[:100],
        "torn.db": whole[:100] + os.urandom(len(whole) - 100),
        "short.db": whole[:20],
    }.items():
        (tmp_path / name).write_bytes(content)
        before = state(tmp_path)
        with pytest.raises((ExecutionFailed, DataError)) as caught:
            sandbox.run(tmp_path / name, "SELECT a FROM t ORDER BY a")
        assert "\n" not in str(caught.value)
        assert state(tmp_path) == before
    assert sandbox.run(database, "SELECT a FROM t").rows == ((1,),)


def test_a_write_ahead_database_is_read_without_a_trace(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "wal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        connection.commit()
        # Its writer still has it open: what it wrote lies in the file beside it.
        assert sandbox.run(path, "SELECT a FROM t").rows == ((7,),)
    assert sandbox.run(path, "SELECT a FROM t").rows == ((7,),)
    assert [file.name for file in tmp_path.iterdir()] == ["wal.db"]


def test_a_duckdb_file_left_with_its_log_is_read_and_both_stay(tmp_path: Path, sandbox: Sandbox) -> None:
    path = make_database(tmp_path / "x.db", "duckdb", SCRIPT)
    with duckdb.connect(path) as connection:
        connection.execute("SET checkpoint_threshold = '1TB'")
        connection.execute("INSERT INTO t VALUES (2)")
        (tmp_path / "left").mkdir()
        for file in (path, path.with_name("x.db.wal")):
            shutil.copy(file, tmp_path / "left")
    before = state(tmp_path / "left")
    assert len(before) == 2
    assert sandbox.run(tmp_path / "left" / "x.db", "SELECT COUNT(*) FROM t").rows == ((2,),)
    assert state(tmp_path / "left") == before


def test_a_duckdb_file_that_another_process_writes_to_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    path = make_database(tmp_path / "x.db", "duckdb", SCRIPT)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline()
        with pytest.raises(ExecutionFailed, match="lock"):
            sandbox.run(path, "SELECT a FROM t")
    assert sandbox.run(path, "SELECT a FROM t").rows == ((1,),)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A dead child of a killed parent may wait for a while to be reaped by the system.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
