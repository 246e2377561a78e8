"""What is SQLite's own in the sandbox: its trap with double quotes, bytes that are no text, and its views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_rig import make_database

from t2s.errors import SQLError
from t2s.sql.sandbox import ExecutionFailed, Limits, Refused, Sandbox
from t2s.sql.sandbox.guard import harden_quotes


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(
        tmp_path_factory.mktemp("sandbox") / "shop.db",
        "sqlite",
        "CREATE TABLE items (id INTEGER, name TEXT, photo BLOB);"
        "CREATE VIEW names AS SELECT name FROM items;"
        "CREATE VIEW [odd \"view\"] AS SELECT printf('%s!', name) AS name FROM items WHERE id = 1;"
        "CREATE VIEW broken AS SELECT gone FROM nowhere;"
        "INSERT INTO items VALUES (1, 'Tea', x'00ff10'), (2, 'Rïce', NULL), (3, CAST(x'ff41' AS TEXT), 2.5);",
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(timeout_s=1.0)) as opened:
        yield opened


def test_blobs_come_as_a_marker_and_bytes_that_are_no_text_as_replacement(sandbox: Sandbox, database: Path) -> None:
    result = sandbox.run(database, "SELECT name, photo FROM items ORDER BY id DESC")
    assert result.rows == (("\ufffdA", 2.5), ("Rïce", None), ("Tea", "<blob of 3 bytes>"))


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


def test_a_view_may_call_what_a_query_may_not(sandbox: Sandbox, database: Path) -> None:
    view = 'odd "view"'
    assert sandbox.run(database, 'SELECT name FROM [odd "view"]', [view]).rows == (("Tea!",),)
    with pytest.raises(Refused, match="printf"):
        sandbox.run(database, "SELECT printf('%s', name) FROM names", ["names"])
    with pytest.raises(Refused, match="printf"):
        sandbox._execute(
            database, 'WITH [odd "view"] AS (SELECT printf(\'x\') AS n) SELECT n FROM [odd "view"]', [view]
        )


def test_a_broken_view_tells_why_and_hides_nothing_else(sandbox: Sandbox, database: Path) -> None:
    with pytest.raises(ExecutionFailed, match="nowhere"):
        sandbox.run(database, "SELECT * FROM broken")
    assert sandbox.run(database, "SELECT COUNT(*) FROM names").rows == ((3,),)


def test_the_names_that_cover_the_views_are_not_told(sandbox: Sandbox, database: Path) -> None:
    for sql in (
        "SELECT nope FROM names",
        "SELECT names.nope FROM names",
        "SELECT * FROM names n JOIN names m USING (nope)",
        "SELECT * FROM temp.names_",
        "SELECT * FROM temp.sqlite_master",
        "SELECT * FROM broken",
    ):
        with pytest.raises(SQLError) as caught:
            sandbox._execute(database, sql, ["names", "broken"])
        assert not any(len(word) >= 32 for word in str(caught.value).replace("_", " ").split()), caught.value
    columns = sandbox._execute(database, "SELECT * FROM names, (SELECT * FROM names)", ["names"]).columns
    assert columns == ("name", "name")


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"max_rows": -1}, {"memory_mb": 10}])
def test_impossible_limits_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SQLError, match=next(iter(limits))):
        Limits(**limits)
