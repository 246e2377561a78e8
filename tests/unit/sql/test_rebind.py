"""SQL outside WikiSQL's form, rewritten for the official layout and run there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from t2s.sql.core import Column, Table
from t2s.sql.parse import ParseFailure, SyntaxFailure, UnknownColumn
from t2s.sql.rebind import rebind
from t2s.sql.sandbox import Sandbox

TABLE = Table("table", (Column("Name"), Column("Home town"), Column("Pay", "real"), Column("order")))
ROWS = [("ann", "oslo", 3.0, "x"), ("bob", "bergen", 5.0, "y"), ("cid", "oslo", 9.0, "z")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rebind") / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE table_1_2_3 (col0 text, col1 text, col2 real, col3 text)")
        connection.executemany("INSERT INTO table_1_2_3 VALUES (?, ?, ?, ?)", ROWS)
        connection.commit()
    return path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT COUNT(*) FROM table", [(3,)]),
        ("SELECT Name, Pay FROM table WHERE Pay > 4", [("bob", 5.0), ("cid", 9.0)]),
        ("SELECT e.name FROM employees e WHERE e.pay > (SELECT AVG(pay) FROM employees)", [("cid",)]),
        ('SELECT Name FROM "table" WHERE "Home town" LIKE "%OSL%" AND order IN ("X", \'q\')', [("ann",)]),
        ("SELECT name FROM table WHERE Pay BETWEEN 4 AND 6 OR Name = 'ANN'", [("ann",), ("bob",)]),
        ("SELECT name FROM table ORDER BY Pay DESC LIMIT 1", [("cid",)]),
        (
            "SELECT [home town], MAX(Pay) AS m FROM table GROUP BY `Home town` ORDER BY m",
            [("bergen", 5.0), ("oslo", 9.0)],
        ),
        ("WITH x AS (SELECT * FROM table) SELECT name FROM x WHERE \"home town\" = 'BERGEN'", [("bob",)]),
        ("SELECT Name FROM table UNION SELECT order FROM table ORDER BY name LIMIT 1", [("ann",)]),
        ("SELECT a.name FROM table a JOIN table b ON a.pay < b.pay AND a.order = 'y'", [("bob",)]),
        ("SELECT (SELECT MAX(Pay) FROM table b WHERE b.name = a.name) FROM table a LIMIT 1", [(3.0,)]),
        (
            "SELECT name FROM table WHERE EXISTS (SELECT 1 FROM table z WHERE z.pay > 3 AND table.name = z.name)",
            [("bob",), ("cid",)],
        ),
        ("SELECT q.s FROM (SELECT name, pay s FROM table) q WHERE q.s > 4", [(5.0,), (9.0,)]),
        ("SELECT name FROM table WHERE Pay = '$5.0m' LIMIT 3", [("bob",)]),
        ("SELECT name FROM table WHERE Pay IN ('9', 'x') OR ('3') = (Pay)", [("ann",), ("cid",)]),
        ("SELECT name FROM table WHERE Pay BETWEEN '-4' AND '4,0.0' OR order = '5'", [("ann",), ("bob",), ("cid",)]),
        ("SELECT name FROM table WHERE UPPER(name) = 'ANN'", [("ann",)]),
        ("SELECT strftime('%Y', '2020-01-01') FROM table LIMIT 1", [("2020",)]),
        ("SELECT name FROM other WHERE pay IS NOT NULL LIMIT 1", [("ann",)]),
    ],
)
def test_the_rewritten_query_runs_on_the_official_layout(
    sandbox: Sandbox, database: Path, sql: str, rows: list[tuple[object, ...]]
) -> None:
    result = sandbox.run(database, rebind(sql, TABLE, "1-2-3"), ["table_1_2_3"])
    assert list(result.rows) == rows


@pytest.mark.parametrize(
    ("sql", "failure"),
    [
        ("SELECT nope FROM table LIMIT 1", UnknownColumn),
        ('SELECT "nope" FROM table LIMIT 1', UnknownColumn),
        ("SELECT name FROM table WHERE name LIKE nope", UnknownColumn),
        ("SELECT a.nope FROM table a JOIN table b ON a.name = b.name", UnknownColumn),
        ("SELECT table.name FROM table JOIN other ON table.name = other.name", UnknownColumn),
        ("SELECT name FROM table ORDER BY nope", UnknownColumn),
        ("SELECT name FROM", SyntaxFailure),
        ("DELETE FROM table", ParseFailure),
    ],
)
def test_unknown_names_are_failures(sql: str, failure: type[ParseFailure]) -> None:
    with pytest.raises(failure):
        rebind(sql, TABLE, "1-2-3")
