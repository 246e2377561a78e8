"""What the sandbox promises, whatever the engine: one body of tests over SQLite and DuckDB."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_rig import ENGINES, make_database, state

from t2s.errors import DataError, SQLError
from t2s.sql.sandbox import ExecutionFailed, InvalidSQL, Limits, Refused, Result, Sandbox, TimedOut

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"
SCRIPT = """
CREATE TABLE items (id INTEGER, name TEXT, price DOUBLE, photo BLOB);
INSERT INTO items VALUES (1, 'Tea', 2.5, NULL), (2, 'Rïce', NULL, NULL), (3, 'Salt', 0.5, NULL);
CREATE TABLE secrets (word TEXT); INSERT INTO secrets VALUES ('swordfish');
CREATE TABLE staff (name TEXT, pay INTEGER); INSERT INTO staff VALUES ('Ann', 10), ('Bob', 20);
CREATE VIEW names AS SELECT name FROM items WHERE id < 3;
CREATE VIEW "Short Names"(n) AS SELECT name FROM names WHERE length(name) < 4;
CREATE VIEW earners AS WITH big AS (SELECT * FROM staff WHERE pay > 15) SELECT name FROM big;
CREATE VIEW joined AS SELECT i.name, s.name AS who FROM items i JOIN staff s ON i.id * 10 = s.pay;
CREATE VIEW spying AS SELECT word FROM secrets WHERE word < 'a';
"""


@pytest.fixture(scope="module", params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "shop.db"
    return make_database(path, request.param, SCRIPT)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=1.0, max_rows=100, max_bytes=10_000)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_changes(database: Path) -> Iterator[None]:
    before = state(database.parent)
    yield
    assert state(database.parent) == before


def test_rows_come_back_with_their_types(sandbox: Sandbox, database: Path) -> None:
    result = sandbox.run(database, 'SELECT id, name AS "the name", price, photo FROM items ORDER BY "id" DESC;')
    assert isinstance(result, Result)
    assert result.columns == ("id", "the name", "price", "photo")
    assert result.rows == ((3, "Salt", 0.5, None), (2, "Rïce", None, None), (1, "Tea", 2.5, None))
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
        ("SELECT " + "(" * 400 + "1" + ")" * 400, InvalidSQL, "nests 400"),
        ("SELECT printf('x')", Refused, "printf"),
        ("SELECT name FROM sqlite_master", Refused, "sqlite_master"),
        ("SELECT nope FROM items", ExecutionFailed, "nope"),
        ('SELECT "nope" FROM items', ExecutionFailed, "nope"),
        ('SELECT name FROM items ORDER BY "nope"', ExecutionFailed, "nope"),
        ("SELECT name FROM items WHERE \"nope\" = 'x'", ExecutionFailed, "nope"),
        (ENDLESS, TimedOut, "longer than 1 s"),
    ],
)
def test_each_failure_has_its_kind(
    sandbox: Sandbox, database: Path, sql: str, failure: type[SQLError], message: str
) -> None:
    with pytest.raises(failure, match=message) as caught:
        sandbox.run(database, sql)
    assert "\n" not in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (failure, str(caught.value))


@pytest.mark.parametrize(
    ("sql", "tables", "rows"),
    [
        ("SELECT COUNT(*) FROM ITEMS", ["items"], 3),
        ("SELECT COUNT(*) FROM items", ["ITEMS", "unknown"], 3),
        ("SELECT COUNT(*) FROM names", ["names"], 2),
        ("SELECT COUNT(*) FROM names", ["names", "items"], 2),
        ("SELECT name FROM names WHERE name LIKE 'T%'", ["names"], "Tea"),
        ('SELECT n FROM "Short Names"', ["short names"], "Tea"),
        ("SELECT n.name FROM (SELECT * FROM names) AS n WHERE n.name > 'S'", ["Names"], "Tea"),
        ("WITH x AS (SELECT name FROM names) SELECT COUNT(*) FROM x JOIN names USING (name)", ["names"], 2),
        ("SELECT name FROM earners", ["earners"], "Bob"),
        ("SELECT COUNT(*) FROM joined", ["joined"], 2),
        ("SELECT COUNT(*) FROM names, items", ["names", "items"], 6),
        ("SELECT COUNT(*) FROM spying", None, 0),
        ('SELECT n FROM "Short Names" WHERE n IN (SELECT name FROM names)', None, "Tea"),
    ],
)
def test_granted_tables_and_views_are_read(
    sandbox: Sandbox, database: Path, sql: str, tables: list[str] | None, rows: object
) -> None:
    assert sandbox.run(database, sql, tables).rows == ((rows,),)
    assert sandbox._execute(database, sql, tables).rows == ((rows,),)


@pytest.mark.parametrize("tables", [["items"], ["names"], ["Short Names"], ["earners", "joined"], ["spying"], []])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secrets",
        "SELECT COUNT(*) FROM secrets",
        "SELECT 1 FROM secrets",
        "SELECT 'swordfish' IN (SELECT word FROM secrets)",
        "WITH items AS (SELECT word FROM secrets) SELECT * FROM items",
        # A WITH query named as a view that is granted, or as one inside a view, is not that view.
        "WITH names AS (SELECT word FROM secrets) SELECT * FROM names",
        'WITH "Short Names" AS (SELECT word FROM secrets) SELECT * FROM "Short Names"',
        "WITH big AS (SELECT * FROM staff) SELECT * FROM big",
        "WITH big AS (SELECT * FROM staff) SELECT * FROM big, earners",
        "WITH spying AS (SELECT word FROM secrets) SELECT * FROM spying",
        "WITH earners AS (WITH big AS (SELECT * FROM staff) SELECT * FROM big) SELECT * FROM earners",
        "WITH i AS (SELECT * FROM staff), s AS (SELECT * FROM staff) SELECT * FROM i, s",
        # What a granted view reads, and not through the view.
        "SELECT * FROM staff",
        "SELECT word FROM secrets WHERE EXISTS (SELECT 1 FROM spying)",
        "SELECT (SELECT MAX(pay) FROM staff) FROM earners",
        "SELECT * FROM earners JOIN staff USING (name)",
        "SELECT * FROM (SELECT * FROM joined) AS x, staff",
    ],
)
def test_what_is_not_granted_is_refused(sandbox: Sandbox, database: Path, sql: str, tables: list[str]) -> None:
    for run in (sandbox.run, sandbox._execute):
        with pytest.raises(Refused):
            run(database, sql, tables)


def test_a_view_inside_a_granted_view_is_not_granted_itself(sandbox: Sandbox, database: Path) -> None:
    with pytest.raises(Refused):
        sandbox.run(database, "SELECT name FROM names", ["Short Names"])
    with pytest.raises(Refused):
        sandbox.run(database, 'SELECT * FROM "Short Names", names', ["Short Names"])


def test_rows_and_bytes_are_capped_and_it_says_so(sandbox: Sandbox, database: Path) -> None:
    numbers = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT {} FROM r"
    exact = sandbox.run(database, numbers.format(100, "n"))
    assert (len(exact.rows), exact.truncated) == (100, False)
    many = sandbox.run(database, numbers.format(101, "n"))
    assert (len(many.rows), many.truncated) == (100, True)
    wide = sandbox.run(database, numbers.format(50, "replace('ééééé', 'é', 'éééééééééééééééééééééééééééééééé')"))
    assert wide.truncated
    assert 0 < sum(len(row[0].encode()) for row in wide.rows if isinstance(row[0], str)) <= 10_000


def test_many_at_once_give_what_one_by_one_would_in_order(sandbox: Sandbox, database: Path) -> None:
    asked = [
        ("SELECT 1", None),
        ("DROP TABLE items", None),
        ("SELECT name FROM items WHERE id = 1", ["items"]),
        ("SELECT * FROM secrets", ["items"]),
        ("SELECT nope FROM items", None),
        (ENDLESS, None),
        ("SELECT COUNT(*) FROM names", ["names"]),
        ("SELEC", None),
    ]
    answers = sandbox.run_many(database, iter(asked))
    kinds = [type(answer) for answer in answers]
    assert kinds == [Result, Refused, Result, Refused, ExecutionFailed, TimedOut, Result, InvalidSQL]
    for (sql, tables), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Result):
            assert answer.rows == sandbox.run(database, sql, tables).rows
        else:
            with pytest.raises(type(answer), match=f"^{re.escape(str(answer))}$"):
                sandbox.run(database, sql, tables)
    assert sandbox.run_many(database, []) == []


def test_threads_share_a_pool_and_get_their_own_answers(database: Path) -> None:
    with Sandbox(Limits(), workers=2) as sandbox, ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda n: sandbox.run(database, f"SELECT {n}").rows, range(100))
        assert list(answers) == [((n,),) for n in range(100)]
        assert len(sandbox._pool.children) <= 2


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc to look into")
def test_the_child_has_an_empty_environment_and_few_open_files(sandbox: Sandbox, database: Path) -> None:
    sandbox.run(database, "SELECT 1")
    assert sandbox._pool.children, "no child lives: the test would prove nothing"
    for child in sandbox._pool.children:
        process = Path(f"/proc/{child.pid}")
        # Python itself sets the locale that it has chosen.
        environ = (process / "environ").read_bytes().split(b"\0")
        assert {entry.split(b"=")[0] for entry in environ if entry} <= {b"LC_CTYPE"}
        opened = {str(link.readlink()) for link in (process / "fd").iterdir()}
        strange = {name for name in opened if not name.startswith(("pipe:", "/dev/null")) and "/shop.db" not in name}
        assert strange == set()
        limits = (process / "limits").read_text()
        for name in ("Max file size", "Max core file size", "Max processes"):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.removeprefix(name).split()[:2] == ["0", "0"]


def test_a_missing_file_a_folder_and_no_database_are_told(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "bad.db").write_bytes(b"no database" * 1000)
    for path, message in (("none.db", "no such"), (".", "folder"), ("bad.db", "is not a database"), ("a\0b", "null")):
        with pytest.raises(DataError, match=message):
            sandbox.run(tmp_path / path, "SELECT 1")
