"""Queries that would eat time or memory: each is ended within its limit and half a second, its process within its cap.

Memory is the peak of the child that ran the bomb, read by another thread while it lives (the kernel's ``VmHWM``).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sandbox_rig import make_database, state

from t2s.sql.sandbox import ExecutionFailed, InvalidSQL, Limits, Refused, Result, Sandbox, SandboxError, TimedOut
from t2s.sql.sandbox.pool import Pool

Run = Callable[[Path, str], Result]
NUMBERS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
MILLION = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000)"
DOUBLING = "WITH RECURSIVE r(n) AS (SELECT 'aaaaaaaa' UNION ALL SELECT n || n FROM r LIMIT 18)"
GROWING = "WITH RECURSIVE r(i, n) AS (SELECT 1, 'aaaaaaaa' UNION ALL SELECT i + 1, n || n FROM r WHERE i < {})"
CROSS = "t a, t b, t c, t d, t e, t f"
BOTH = {
    "endless recursion": f"{NUMBERS} SELECT COUNT(*) FROM r",
    "endless recursion with no rows": f"{NUMBERS} SELECT n FROM r WHERE n < 0",
    "endless recursion of pairs": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + a FROM r, t)"
    " SELECT COUNT(*) FROM r",
    "endless sort": f"{NUMBERS} SELECT n FROM r ORDER BY -n",
    "endless distinct": f"{NUMBERS} SELECT COUNT(DISTINCT n) FROM r",
    "endless groups": f"{NUMBERS} SELECT n, COUNT(*) FROM r GROUP BY n HAVING COUNT(*) > 1",
    "cross join": f"SELECT COUNT(*) FROM {CROSS} WHERE (a.a * b.a + c.a * d.a + e.a) % 7 = f.a",
    "sorted cross join": f"SELECT a.a FROM {CROSS} ORDER BY a.a * b.a * c.a * d.a * e.a * f.a",
    "distinct cross join": "SELECT DISTINCT a.a, b.a, c.a, d.a FROM t a, t b, t c, t d",
    "grouped cross join": "SELECT a.a, b.a, c.a, d.a, COUNT(*) FROM t a, t b, t c, t d GROUP BY 1, 2, 3, 4",
    "window over a cross join": "SELECT SUM(b.a) OVER (ORDER BY a.a, b.a, c.a, d.a) FROM t a, t b, t c, t d",
    "union of cross joins": "SELECT a.a * b.a + c.a FROM t a, t b, t c"
    " UNION SELECT a.a - b.a * c.a FROM t a, t b, t c, t d",
    "correlated subqueries": "SELECT COUNT(*) FROM t a, t b, t c"
    " WHERE (SELECT MAX(x.a * a.a) FROM t x, t y WHERE x.a > b.a) < c.a",
    "non-equal self joins": "SELECT COUNT(*) FROM t a JOIN t b ON a.a < b.a JOIN t c ON b.a <> c.a"
    " JOIN t d ON d.a <> a.a JOIN t e ON e.a > 0",
    "growing list of numbers": f"{NUMBERS} SELECT group_concat(n, ', ') FROM r",
    "one huge cell": f"{GROWING.format(40)} SELECT MAX(n) FROM r",
    "one cell of the cap": f"{GROWING.format(18)} SELECT n FROM r ORDER BY i DESC LIMIT 1",
    "nested replace": "SELECT replace(replace(replace('{0}', 'a', '{0}'), 'a', '{0}'), 'a', 'bbbb')".format("a" * 90),
    "replace to the fifth": "SELECT length({}'a'{})".format(
        "replace(" * 6, ", 'a', '" + "a" * 60 + "')" + (", 'a', '" + "a" * 60 + "')") * 5
    ),
    "a million rows": f"{MILLION} SELECT n, n * 2, 'row ' || n FROM r",
    "wide rows": f"{GROWING.format(14)} SELECT {', '.join(['n'] * 300)} FROM r",
    "joined texts": f"{GROWING.format(16)} SELECT a.n || b.n || c.n FROM r a, r b, r c",
    "wide sort": f"{GROWING.format(14)} SELECT a.n || b.n FROM r a, r b, t x, t y ORDER BY a.n || b.n || x.a",
    "texts as groups": f"{GROWING.format(12)} SELECT a.n || x.a || y.a FROM r a, t x, t y GROUP BY 1",
    "slow pattern": f"{GROWING.format(16)}"
    " SELECT SUM(CASE WHEN n || t.a || b.a LIKE '%a%a%a%b%c' THEN 1 END) FROM r, t, t b",
    "deep nesting": "SELECT " + "abs(" * 24 + "1" + ")" * 24 + " FROM t a, t b, t c, t d, t e",
    "deep subqueries": "SELECT COUNT(*) FROM " + "(SELECT a FROM t, " * 20 + "t" + ")" * 20,
    "long chain of operators": "SELECT " + "a + " * 2400 + "a FROM t",
    "long list of values": "SELECT COUNT(*) FROM t a, t b, t c, t d"
    f" WHERE a.a * b.a * c.a * d.a IN ({', '.join(map(str, range(-1500, 0)))})",
    "many unions": " UNION ALL ".join(["SELECT a FROM t"] * 400),
    "many WITH queries": "WITH "
    + ", ".join(f"q{i} AS (SELECT x.a FROM {f'q{i - 1}' if i else 't'} x, t y)" for i in range(40))
    + " SELECT COUNT(*) FROM q39",
}
SQLITE = {
    "repeated doubling": f"{DOUBLING} SELECT SUM(n || t.a || u.a LIKE '%a%a%a%a%a%a%a%a%b%c') FROM r, t, t u",
    "slow glob": f"{DOUBLING} SELECT SUM(n GLOB '*a*a*a*a*a*a*a*a*a*a*a*b') FROM r",
    "quadratic search in one step": f"{DOUBLING} SELECT instr(n, substr(n, 1, 500000) || 'b')"
    " FROM r WHERE length(n) > 1000000",
    "long pattern": f"SELECT '{'a' * 4000}' LIKE '{'%a' * 2000}'",
    "printf": "SELECT printf('%.*c', 500000000, 'x')",
    "zeroblob": "SELECT length(zeroblob(1000000000))",
    "hex of random bytes": "SELECT hex(randomblob(500000000))",
    "trimmed text": f"{DOUBLING} SELECT COUNT(trim(a.n, b.n)) FROM r a, r b",
}
DUCKDB = {
    "range": "SELECT COUNT(*) FROM range(100000000000)",
    "list of a range": "SELECT range(1000000000)",
    "generate_series": "SELECT SUM(a.generate_series) FROM generate_series(1, 1000000) a,"
    " generate_series(1, 1000000) b",
    "repeat": "SELECT repeat('x', 2000000000)",
    "lpad": "SELECT lpad('x', 2000000000, 'y')",
    "format": "SELECT format('{:2000000000d}', 1)",
    "list of everything": "SELECT list(a.a * b.a + c.a * d.a) FROM t a, t b, t c, t d",
    "string of everything": "SELECT string_agg(a.a || ' ' || b.a || ' ' || c.a, ',') FROM t a, t b, t c, t d",
    "regex of a long text": f"{GROWING.format(20)} SELECT COUNT(*) FROM r, t"
    " WHERE regexp_matches(n || a, '(a*)*(b|a+)+c')",
    "regex of many repetitions": f"{GROWING.format(16)} SELECT COUNT(*) FROM r, t"
    " WHERE regexp_matches(n || a, '((a{1,100}){1,10}){1,10}b')",
    "replaced by regex": f"{GROWING.format(22)} SELECT length(regexp_replace(n, 'a', '{'b' * 500}', 'g')) FROM r",
    "quantile of a cross join": "SELECT quantile_cont(a.a * b.a * c.a, 0.5), mode(a.a * d.a) FROM t a, t b, t c, t d",
    "unnested lists": f"WITH l AS (SELECT {list(range(300))} AS x)"
    " SELECT COUNT(*) FROM l, unnest(x) b, unnest(x) c, unnest(x) d, t e",
    "sleep": "SELECT sleep_ms(10000)",
}
CASES = [(engine, name) for engine, own in (("sqlite", SQLITE), ("duckdb", DUCKDB)) for name in (*BOTH, *own)]
LIMITS = Limits(timeout_s=0.3, memory_mb=256, max_rows=1000, max_bytes=200_000)
# These may also answer in time, whole: they are bombs for the memory only, or for an engine without its limits.
MAY_END = {"one huge cell", "one cell of the cap", "replace to the fifth", "slow glob", "deep nesting", "trimmed text"}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bombs")
    rows = ", ".join(f"({i})" for i in range(300))
    script = f"CREATE TABLE t (a BIGINT); INSERT INTO t VALUES {rows};"
    return {engine: make_database(folder / f"{engine}.db", engine, script) for engine in ("sqlite", "duckdb")}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as opened:
        yield opened


class Peak(threading.Thread):
    """The largest resident memory, in MB, of the pool's children while this runs."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self._pool = pool
        self._done = threading.Event()

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(0.02):
            self._look()
        self._look()

    def _look(self) -> None:
        for child in self._pool.children:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                continue
            peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
            self.mb = max(self.mb, *(int(kib) / 1024 for kib in peak), 0.0)


def test_there_are_many_kinds_of_bomb() -> None:
    assert len(BOTH) + len(SQLITE) >= 30 and len(BOTH) + len(DUCKDB) >= 30


@pytest.mark.parametrize(("engine", "name"), CASES)
def test_a_bomb_is_ended_in_time_and_memory(
    sandbox: Sandbox, databases: dict[str, Path], engine: str, name: str
) -> None:
    sql = {**BOTH, **(SQLITE if engine == "sqlite" else DUCKDB)}[name]
    database = databases[engine]
    before = state(database.parent)
    answer = _measured(sandbox, sandbox.run, database, sql)
    if isinstance(answer, InvalidSQL | Refused):
        # The parser did not let it pass: the other layers by themselves.
        answer = _measured(sandbox, sandbox._execute, database, sql)
    if isinstance(answer, Result):
        assert answer.truncated or name in MAY_END
        assert len(answer.rows) <= LIMITS.max_rows
    assert _warm(sandbox, database).rows == ((300,),)
    assert state(database.parent) == before


def _measured(sandbox: Sandbox, run: Run, database: Path, sql: str) -> Result | SandboxError:
    """What the bomb came to, in time. A busy machine may delay us once; a bomb that is not ended is late each time."""
    for _ in range(3):
        answer, elapsed = _timed(sandbox, run, database, sql)
        if elapsed < LIMITS.timeout_s + 0.5:
            return answer
    raise AssertionError(f"three times over the limit, the last time by {elapsed - LIMITS.timeout_s:.2f} s")


def _timed(sandbox: Sandbox, run: Run, database: Path, sql: str) -> tuple[Result | SandboxError, float]:
    _warm(sandbox, database)
    answer: Result | SandboxError
    with Peak(sandbox._pool) as peak:
        started = time.monotonic()
        try:
            answer = run(database, sql)
        except (TimedOut, ExecutionFailed, Refused, InvalidSQL) as error:
            answer = error
        elapsed = time.monotonic() - started
    assert 0 < peak.mb < LIMITS.memory_mb
    return answer, elapsed


def _warm(sandbox: Sandbox, database: Path) -> Result:
    """A query that works, as soon as the file is open again: on a busy machine that takes longer than the limit."""
    for _ in range(20):
        with contextlib.suppress(TimedOut):
            return sandbox.run(database, "SELECT COUNT(*) FROM t")
    raise AssertionError("the sandbox does not answer any more")
