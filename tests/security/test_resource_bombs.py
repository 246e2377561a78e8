"""Queries that would eat time or memory: each is ended within its limit and half a second."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from t2s.sql.sandbox import ExecutionFailed, Limits, Refused, Sandbox, TimedOut

NUMBERS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
DOUBLING = "WITH RECURSIVE r(n) AS (SELECT 'aaaaaaaa' UNION ALL SELECT n || n FROM r LIMIT 18)"
BOMBS = {
    "endless recursion": f"{NUMBERS} SELECT COUNT(*) FROM r",
    "endless sort": f"{NUMBERS} SELECT n FROM r ORDER BY -n",
    "endless distinct": f"{NUMBERS} SELECT COUNT(DISTINCT n) FROM r",
    "cross join": "SELECT COUNT(*) FROM t a, t b, t c, t d, t e, t f",
    "growing text": f"{NUMBERS} SELECT group_concat(n) FROM r",
    "nested replace": "SELECT replace(replace(replace('{0}', 'a', '{0}'), 'a', '{0}'), 'a', 'bbbb')".format("a" * 90),
    "slow pattern": f"{DOUBLING} SELECT SUM(a.n LIKE '%a%a%a%a%a%a%a%a%b%c') FROM r a, r b, r c",
    "slow glob": f"{DOUBLING} SELECT SUM(n GLOB '*a*a*a*a*a*a*a*a*a*a*a*b') FROM r",
    "wide rows": f"{DOUBLING} SELECT {', '.join(['n'] * 500)} FROM r",
    "big joins of text": f"{DOUBLING} SELECT a.n || b.n || c.n FROM r a, r b, r c",
    "filled memory": "SELECT printf('%.*c', 500000000, 'x')",
}
LIMITS = Limits(timeout_s=1.0, memory_mb=256)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bombs") / "t.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(300)])
        connection.commit()
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_ended_in_time_and_memory(database: Path, name: str) -> None:
    with Sandbox(LIMITS) as sandbox:
        sandbox.run(database, "SELECT 1")
        started = time.monotonic()
        try:
            result = sandbox.run(database, BOMBS[name])
        except (TimedOut, ExecutionFailed, Refused):
            result = None
        assert time.monotonic() - started < LIMITS.timeout_s + 0.5
        # A bomb may also end as an answer that the caps have cut off.
        assert result is None or result.truncated or name in ("slow glob", "slow pattern")
        assert _peak_mb(sandbox) < LIMITS.memory_mb
        assert sandbox.run(database, "SELECT COUNT(*) FROM t").rows == ((300,),)


def test_the_hard_kill_holds_where_sqlite_does_not_look_at_the_clock(database: Path) -> None:
    """One function call is one step to SQLite: only the death of the process ends it."""
    quadratic = f"{DOUBLING} SELECT instr(n, substr(n, 1, 500000) || 'b') FROM r WHERE length(n) > 1000000"
    with Sandbox(LIMITS) as sandbox:
        sandbox.run(database, "SELECT 1")
        started = time.monotonic()
        with pytest.raises(TimedOut):
            sandbox.run(database, quadratic)
        assert time.monotonic() - started < LIMITS.timeout_s + 0.5
        assert sandbox.run(database, "SELECT 1").rows == ((1,),)


def _peak_mb(sandbox: Sandbox) -> float:
    """Peak resident memory of the living child; 0 where the bomb took it along or /proc is missing."""
    for child in sandbox._children:
        status = Path(f"/proc/{child._process.pid}/status")
        if status.is_file():
            peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            return int(peak.split()[1]) / 1024
    return 0.0
