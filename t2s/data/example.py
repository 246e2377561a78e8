"""The worked example of ``docs/your-data.md``: a shop's database of four tables, and questions with their SQL.

Everything is deterministic. The SQL is common to SQLite and DuckDB; every query finds something. It is one
database, so that its score is for this database, as the score of most users' own data is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from t2s.data.cache import build_once
from t2s.errors import ConfigError, SetupError
from t2s.sql.database import Engine

DATABASES: dict[Engine, str] = {"sqlite": "shop.db", "duckdb": "shop.duckdb"}
CREATE = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, joined INTEGER)",
    "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price DOUBLE)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), "
    "ordered_on TEXT, status TEXT)",
    "CREATE TABLE order_items (order_id INTEGER REFERENCES orders (id), "
    "product_id INTEGER REFERENCES products (id), quantity INTEGER)",
)
CITIES = ("Lisbon", "Oslo", "Kyoto", "Turin", "Dublin")
STATUSES = ("shipped", "open", "returned", "cancelled")
PRODUCTS = {
    "tea": ("Green Tea", "Earl Grey", "Mint Tea"),
    "coffee": ("Espresso Beans", "Filter Roast", "Decaf"),
    "cups": ("Travel Mug", "Glass Cup", "Espresso Cup"),
    "sweets": ("Shortbread", "Dark Chocolate", "Honey Waffles"),
}
PEOPLE = (
    "Anna Berg", "Omar Silva", "Lucia Novak", "Jonas Tanaka", "Mei Haddad", "Pavel Moreau", "Ines Keller",
    "Tariq Okafor", "Greta Rossi", "Hugo Patel", "Amina Costa", "Leo Dubois", "Sofia Fischer", "Kofi Larsen",
    "Elena Quinn", "Marco Walsh", "Yuki Young", "Nadia Zhang", "Peter Abbott", "Rosa Doyle",
)  # fmt: skip
MONTHS = {"January": "01", "February": "02", "March": "03", "April": "04", "May": "05", "June": "06"}

_ORDERS = "orders AS o JOIN customers AS c ON o.customer_id = c.id"
_ITEMS = "order_items AS i JOIN products AS p ON i.product_id = p.id"
_SALES = f"{_ITEMS} JOIN orders AS o ON i.order_id = o.id"
_ALL = f"{_SALES} JOIN customers AS c ON o.customer_id = c.id"
_SPENT = "SUM(i.quantity * p.price)"

WHOLE = (
    ("How many customers are there in each city?", "SELECT city, COUNT(*) FROM customers GROUP BY city"),
    (
        "Which city has the most orders?",
        f"SELECT c.city FROM {_ORDERS} GROUP BY c.city ORDER BY COUNT(*) DESC, c.city LIMIT 1",
    ),
    ("What is the average price in each category?", "SELECT category, AVG(price) FROM products GROUP BY category"),
    ("How many orders have each status?", "SELECT status, COUNT(*) FROM orders GROUP BY status"),
    ("What are our sales by category?", f"SELECT p.category, {_SPENT} FROM {_ITEMS} GROUP BY p.category"),
    ("What are our sales by city?", f"SELECT c.city, {_SPENT} FROM {_ALL} GROUP BY c.city"),
    ("How many orders came from each city?", f"SELECT c.city, COUNT(*) FROM {_ORDERS} GROUP BY c.city"),
    ("How many units of each product were sold?", f"SELECT p.name, SUM(i.quantity) FROM {_ITEMS} GROUP BY p.name"),
    ("What is our most expensive product?", "SELECT name FROM products ORDER BY price DESC, name LIMIT 1"),
    (
        "Which category brings in the most money?",
        f"SELECT p.category FROM {_ITEMS} GROUP BY p.category ORDER BY {_SPENT} DESC LIMIT 1",
    ),
    (
        "Who are our three best customers?",
        f"SELECT c.name FROM {_ALL} GROUP BY c.name ORDER BY {_SPENT} DESC, c.name LIMIT 3",
    ),
    (
        "Which customers never ordered anything?",
        "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
    ),
)  # fmt: skip


def write_example(out: Path, engine: Engine = "sqlite") -> dict[str, Any]:
    """Write the database and ``train.jsonl``, ``val.jsonl``, ``test.jsonl`` into the new directory ``out``.

    Returns the database's name and the number of questions of each split.

    Raises:
        ConfigError: ``out`` exists.
        SetupError: it cannot be written, or duckdb is not installed.
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; name a directory that does not")
    splits = divided(list(questions()))
    counts: dict[str, Any] = {"database": DATABASES[engine], **{name: len(lines) for name, lines in splits.items()}}

    def write(aside: Path) -> dict[str, Any]:
        (_write_sqlite if engine == "sqlite" else _write_duckdb)(aside / DATABASES[engine])
        for name, lines in splits.items():
            records = ({"question": q, "sql": sql, "database": DATABASES[engine]} for q, sql in lines)
            text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            (aside / f"{name}.jsonl").write_text(text, encoding="utf-8")
        return counts

    build_once(out, write)
    return counts


def questions() -> Iterator[tuple[str, str]]:
    """Questions and their SQL: over one table, over joins, grouped."""
    yield from WHOLE
    for city in CITIES:
        yield f"How many customers live in {city}?", f"SELECT COUNT(*) FROM customers WHERE city = '{city}'"
        yield f"List the customers from {city}.", f"SELECT name FROM customers WHERE city = '{city}'"
        yield f"What did customers from {city} spend?", f"SELECT {_SPENT} FROM {_ALL} WHERE c.city = '{city}'"
        yield (
            f"Which categories are bought in {city}?",
            f"SELECT DISTINCT p.category FROM {_ALL} WHERE c.city = '{city}'",
        )
    for category, names in PRODUCTS.items():
        where = f"category = '{category}'"
        yield f"What is the average price of our {category}?", f"SELECT AVG(price) FROM products WHERE {where}"
        yield (
            f"What is the cheapest of our {category}?",
            f"SELECT name FROM products WHERE {where} ORDER BY price LIMIT 1",
        )
        yield f"What did we earn with {category}?", f"SELECT {_SPENT} FROM {_ITEMS} WHERE p.{where}"
        for name in names:
            yield f"What does {name} cost?", f"SELECT price FROM products WHERE name = '{name}'"
            yield f"Who bought {name}?", f"SELECT DISTINCT c.name FROM {_ALL} WHERE p.name = '{name}'"
            yield (
                f"How many units of {name} were sold?",
                f"SELECT SUM(i.quantity) FROM {_ITEMS} WHERE p.name = '{name}'",
            )
    for person in PEOPLE[:-2]:
        yield f"How many orders did {person} place?", f"SELECT COUNT(*) FROM {_ORDERS} WHERE c.name = '{person}'"
        yield f"Where does {person} live?", f"SELECT city FROM customers WHERE name = '{person}'"
    for month, number in MONTHS.items():
        where = f"ordered_on LIKE '2024-{number}%'"
        yield f"How many orders were placed in {month} 2024?", f"SELECT COUNT(*) FROM orders WHERE {where}"
        yield f"What were our sales in {month} 2024?", f"SELECT {_SPENT} FROM {_SALES} WHERE o.{where}"
    for status in STATUSES:
        yield f"How many orders are {status}?", f"SELECT COUNT(*) FROM orders WHERE status = '{status}'"
        yield (
            f"Which customers have {status} orders?",
            f"SELECT DISTINCT c.name FROM {_ORDERS} WHERE o.status = '{status}'",
        )
    for limit in (2, 3, 4):
        yield (
            f"Which customers placed more than {limit} orders?",
            f"SELECT c.name FROM {_ORDERS} GROUP BY c.name HAVING COUNT(*) > {limit}",
        )
    for price in (5, 10, 15):
        yield f"Which products cost more than {price}?", f"SELECT name FROM products WHERE price > {price}"


def divided(pairs: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Drawn once: a tenth each to validate and to test."""
    Random("t2s example: splits").shuffle(pairs)
    tenth = len(pairs) // 10
    return {"train": pairs[2 * tenth :], "val": pairs[:tenth], "test": pairs[tenth : 2 * tenth]}


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table."""
    rng = Random("t2s example: rows")
    customers = [(at, name, CITIES[at % 5], rng.randint(2018, 2023)) for at, name in enumerate(PEOPLE, start=1)]
    named = [(name, category) for category, names in PRODUCTS.items() for name in names]
    products = [(at, *pair, round(rng.uniform(2.5, 24), 2)) for at, pair in enumerate(named, start=1)]
    orders, items = [], []
    for at in range(1, 81):
        # Each of the first 18 customers orders at least once, the last two never.
        customer = at if at <= 18 else rng.randint(1, 18)
        day = f"2024-{rng.randint(1, 6):02d}-{rng.randint(1, 28):02d}"
        orders.append((at, customer, day, rng.choice((*STATUSES, "shipped", "shipped"))))
        bought = rng.sample(range(1, len(products) + 1), rng.randint(1, 3))
        items += [(at, product, rng.randint(1, 4)) for product in bought]
    return {"customers": customers, "products": products, "orders": orders, "order_items": items}


def _write_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in CREATE:
            connection.execute(statement)
        for table, values in rows().items():
            connection.executemany(f"INSERT INTO {table} VALUES ({_places(values)})", values)
        connection.commit()


def _write_duckdb(path: Path) -> None:
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise SetupError("a DuckDB database needs the package duckdb; install it, or leave --duckdb out") from error
    with duckdb.connect(path) as connection:
        for statement in CREATE:
            connection.execute(statement)
        for table, values in rows().items():
            connection.executemany(f"INSERT INTO {table} VALUES ({_places(values)})", values)


def _places(values: list[tuple[Any, ...]]) -> str:
    return ", ".join("?" * len(values[0]))
