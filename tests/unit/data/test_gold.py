"""Judging gold SQL by its text: what is right is not refused. (What is wrong and refused: the corpus beside this.)"""

from __future__ import annotations

import pytest

from t2s.data.gold import read_gold, template
from t2s.sql.database import Engine
from t2s.sql.schema import parse_schema

SCHEMA = parse_schema(
    "TABLE: staff ( id (real), name (text), salary (real), hired (text), data (text) ) "
    'TABLE: teams ( id (real), lead (real), "order" (text) )'
)

VALID: dict[Engine, list[str]] = {
    "sqlite": [
        "SELECT name FROM staff ORDER BY name COLLATE NOCASE",
        "SELECT name FROM staff WHERE name = 'x' COLLATE NOCASE",
        "SELECT value FROM staff, json_each(staff.data)",
        "SELECT j.value FROM staff AS s, json_each(s.data) AS j",
        "SELECT name, RANK() OVER w FROM staff WINDOW w AS (PARTITION BY hired ORDER BY salary)",
        "SELECT strftime('%Y', hired) AS y, COUNT(*) FROM staff GROUP BY y HAVING COUNT(*) > 1 ORDER BY y",
        "SELECT CAST(salary AS INTEGER) FROM staff",
        "SELECT rowid FROM staff",
        "SELECT main.staff.name FROM main.staff",
        "SELECT staff.* FROM staff",
        "SELECT s.name FROM staff s JOIN teams USING (id)",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 5) SELECT n FROM c",
        "SELECT (SELECT MAX(salary) FROM staff s2 WHERE s2.id = s.id) FROM staff s",
        "SELECT x.m FROM (SELECT MAX(salary) AS m FROM staff) x",
        """SELECT "order" FROM teams""",
        "SELECT [order] FROM teams",
        "SELECT `order` FROM teams",
        'SELECT name FROM staff WHERE name = "Oslo"',
        """SELECT name FROM staff WHERE name IN ("a", "b")""",
        "SELECT CASE WHEN salary > 1 THEN 'a' ELSE 'b' END AS k FROM staff GROUP BY k",
        "SELECT name FROM staff WHERE hired < CURRENT_DATE AND salary IS NOT NULL",
        "SELECT name FROM staff WHERE EXISTS (SELECT 1 FROM teams WHERE lead = staff.id)",
        """SELECT name FROM staff UNION SELECT "order" FROM teams ORDER BY name""",
        "SELECT group_concat(name, ', ') FROM staff",
        "SELECT name FROM staff WHERE hired BETWEEN '2020' AND '2021'",
        "SELECT date(hired, 'start of month') FROM staff",
        "SELECT COUNT(*) FILTER (WHERE salary > 3) FROM staff",
        "VALUES (1)",
        "SELECT 1",
        "SELECT name FROM staff LIMIT 3 OFFSET 1",
        "SELECT NAME FROM STAFF AS S WHERE s.ID = 1",
        "SELECT iif(salary>1, name, hired) FROM staff",
        """SELECT "COUNT(*)" FROM (SELECT COUNT(*) FROM staff)""",
        "SELECT column1 FROM (VALUES (1),(2))",
        "SELECT TRUE",
    ],
    "duckdb": [
        "SELECT date_trunc('month', hired) AS m, COUNT(*) FROM staff GROUP BY ALL",
        "SELECT hired AS h FROM staff QUALIFY row_number() OVER (PARTITION BY h ORDER BY salary) = 1",
        "SELECT * EXCLUDE (id) FROM staff",
        "SELECT list_transform([1,2], x -> x + 1) FROM staff",
        "SELECT unnest([1,2]) AS u FROM staff",
        "SELECT i FROM range(10) t(i)",
        "SELECT range FROM range(3)",
        "SELECT datediff('day', hired, hired) FROM staff",
        "SELECT EXTRACT(year FROM CAST(hired AS DATE)) FROM staff",
        "SELECT data.field FROM staff",
        "SELECT name FROM staff WHERE hired > CURRENT_DATE - INTERVAL 3 DAY",
        "SELECT name FROM staff ORDER BY ALL",
        "SELECT {'a': 1}.a FROM staff",
        "SELECT s.name FROM staff s ASOF JOIN teams t ON s.id >= t.id",
        "SELECT arg_max(name, salary) FROM staff",
        "SELECT name FROM staff WHERE name ILIKE 'a%'",
        "SELECT name[1:2] FROM staff",
        "SELECT staff FROM staff",
        "SELECT salary::INTEGER FROM staff",
        "FROM staff SELECT name",
    ],
}


@pytest.mark.parametrize(("dialect", "sql"), [(dialect, sql) for dialect, queries in VALID.items() for sql in queries])
def test_a_right_query_is_not_refused(dialect: Engine, sql: str) -> None:
    assert read_gold(sql, SCHEMA, dialect) is None  # two tables: no logical form


def test_a_template_masks_values_and_digits_and_nothing_else() -> None:
    sql = "SELECT name FROM staff WHERE name = 'Anna Berg' AND salary > 500"
    assert template("Does  ANNA BERG earn over 500 since 2020?", sql) == "does # earn over # since ####?"
