"""Whatever the SELECT grammar lets through runs, and what people ask of several tables is in it."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from llguidance import LLMatcher
from sqlglot.tokens import Tokenizer
from test_grammar import TOKENIZER

from t2s.data.example import write_example
from t2s.data.jsonl import JsonlPipeline
from t2s.sql.core import Column, ForeignKey, Schema, Table
from t2s.sql.grammar import select_grammar
from t2s.sql.grammar.membership import can_write
from t2s.sql.grammar.sources import RESERVED, sources
from t2s.sql.sandbox import check_read_only


def columns(*names: str) -> tuple[Column, ...]:
    return tuple(map(Column, names))


SCHEMA = Schema(
    (
        Table("singer", columns("id", "name", "age", "home country")),
        Table("concert", columns("id", "singer_id", "stadium_id", "year", "order")),
        Table("stadium", columns("id", "capacity", 'the "name"')),
    ),
    (ForeignKey("concert", "singer_id", "singer", "id"), ForeignKey("concert", "stadium_id", "stadium", "id")),
)


def matcher(question: str | None = None) -> LLMatcher:
    made = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(select_grammar(SCHEMA, question)))
    assert not made.is_error(), made.get_error()
    return made


def accepts(sql: str, question: str | None = None) -> bool:
    asked, tokens = matcher(question), list(f" {sql}".encode())
    return asked.try_consume_tokens(tokens) == len(tokens) and asked.is_accepting()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM singer",
        'SELECT DISTINCT "name", "age" FROM "singer" ORDER BY age DESC LIMIT 3',
        "SELECT T1.name, COUNT(*) FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id GROUP BY T1.name "
        "HAVING COUNT(*) > 2 ORDER BY COUNT(*) DESC LIMIT 1",
        "SELECT concert.year FROM singer JOIN concert ON singer.id = concert.singer_id WHERE singer.name = 'x'",
        "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert WHERE year = 2014) AND (age > 3 OR "
        "\"home country\" LIKE '%land%' OR name IS NOT NULL)",
        "SELECT name FROM singer WHERE age BETWEEN 20 AND 30.5 AND age > (SELECT AVG(age) FROM singer)",
        'SELECT name FROM singer UNION SELECT "the ""name""" FROM stadium',
        "SELECT name FROM singer AS s WHERE age > 3",
        "SELECT s.name FROM singer s WHERE s.age > 3",
        "SELECT c.year, SUM(c.id * s.age) / COUNT(*) FROM concert AS c JOIN singer AS s "
        "ON s.id = c.singer_id GROUP BY year",
        "SELECT name AS who, age * 2 AS doubled FROM singer ORDER BY age DESC",
        "SELECT s.name AS singer_name, COUNT(*) AS n FROM singer AS s JOIN concert AS c ON s.id = c.singer_id "
        "GROUP BY s.name HAVING COUNT(*) > 2 ORDER BY n DESC LIMIT 3",
        "SELECT COUNT(*) AS order_of, AVG(age) AS average FROM singer WHERE age > 3 ORDER BY average",
        "SELECT age, year FROM singer LEFT JOIN concert ON concert.singer_id = singer.id",
        "SELECT ROUND(AVG(age), 2) FROM singer WHERE LOWER(name) = 'x' GROUP BY strftime('%Y', name) LIMIT 2 OFFSET 4",
        "SELECT strftime(name, '%Y'), COUNT(*) FROM singer GROUP BY strftime(name, '%Y')",
        "SELECT COUNT(DISTINCT T3.capacity) FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id JOIN stadium "
        "AS T3 ON T2.stadium_id = T3.id",
    ],
)
def test_what_is_asked_of_several_tables_is_in_it(sql: str) -> None:
    assert accepts(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT capacity FROM singer",
        "SELECT order FROM concert",
        "SELECT name FROM nowhere",
        "SELECT name FROM singer; DROP TABLE singer",
        "SELECT load_extension('x') FROM singer",
        "DELETE FROM singer",
        "SELECT name FROM singer WHERE T1.age = 3",
        "SELECT c.year FROM concert AS c JOIN singer AS s ON c.id = s.id",
        "SELECT id FROM concert AS c JOIN singer AS s ON c.singer_id = s.id",
        "SELECT s.id FROM singer AS s JOIN concert AS c ON s.id = c.singer_id JOIN stadium AS s ON s.id = s.id",
        "SELECT name FROM singer ORDER BY MAX(age)",
        "SELECT name FROM singer LIMIT 0",
        "SELECT name AS age FROM singer",
        "SELECT name AS Order FROM singer",
        "SELECT COUNT(*) AS n FROM singer ORDER BY total",
        "SELECT COUNT(*) AS n, age FROM singer ORDER BY n",
        "SELECT name FROM singer WHERE age IN (SELECT year AS n FROM concert)",
        "SELECT name FROM singer UNION SELECT id, capacity FROM stadium",
    ],
)
def test_other_names_and_other_statements_are_not(sql: str) -> None:
    assert not accepts(sql)


def test_initials_are_of_all_words_or_of_the_last_and_none_that_are_key_words() -> None:
    tables = (
        Table("order_items", columns("order_id")),
        Table("orders", columns("id")),
        Table("artistSong", columns("a")),
    )
    schema = Schema(tables, (ForeignKey("order_items", "order_id", "orders", "id"),))
    written = [source.tables for source in sources(schema)]
    assert any('"order_items" as "oi" join "orders" as "o"' in text for text in written)
    assert any('"order_items" as "i" join "orders" as "o"' in text for text in written)
    assert '("artistSong" | "\\"artistSong\\"") as "s"' in written and not any('as "as"' in text for text in written)


def test_every_gold_of_the_worked_example_can_be_written(tmp_path: Path) -> None:
    write_example(tmp_path / "shop")
    golds = [example for split in JsonlPipeline(tmp_path / "shop").prepare() for example in split]
    assert len(golds) == 142
    assert [example.sql for example in golds if not can_write("select", example.schema, example.sql)] == []


def test_values_can_be_held_to_the_question() -> None:
    question = "Singers from New Zealand older than 1,200?"
    assert accepts("SELECT name FROM singer WHERE \"home country\" = 'New Zealand' AND age > 1200", question)
    assert accepts("SELECT name FROM singer WHERE \"home country\" LIKE '%Zealand%'", question)
    assert not accepts("SELECT name FROM singer WHERE \"home country\" = 'Zealand New'", question)
    assert not accepts("SELECT name FROM singer WHERE age > 12001", question)


def test_a_random_writer_held_to_it_writes_only_queries_that_run() -> None:
    database = sqlite3.connect(":memory:")
    for table in SCHEMA.tables:
        names = ", ".join('"' + column.name.replace('"', '""') + '"' for column in table.columns)
        database.execute(f"CREATE TABLE {table.name} ({names})")
    dice, asked, finished = random.Random(0), matcher(), 0
    for _ in range(150):
        sql = _walk(asked, dice)
        if sql is not None:
            finished += 1
            check_read_only(sql)
            database.execute(sql)
    assert finished > 95


def _walk(asked: LLMatcher, dice: random.Random) -> str | None:
    asked.reset()
    written = bytearray()
    while not asked.is_stopped() and len(written) < 2000:
        packed = np.frombuffer(asked.compute_bitmask(), dtype=np.uint8)
        allowed = np.flatnonzero(np.unpackbits(packed, count=257, bitorder="little")).tolist()
        if 256 in allowed and dice.random() < 0.5:
            break
        printable = [byte for byte in allowed if 32 <= byte < 127]
        byte = ord("'") if ord("'") in allowed else dice.choice(printable)  # a string ends when it can
        asked.consume_token(byte)
        written.append(byte)
    return written.decode().strip() if asked.is_accepting() or asked.is_stopped() else None


def test_a_schema_of_many_tables_is_one_that_can_be_asked_and_soon() -> None:
    """They all join over ``id``; 14,280 joins in pairs are 200 million in threes."""
    schema = Schema(tuple(Table(f"t{number}", columns("id", f"own_{number}")) for number in range(120)))
    began = time.perf_counter()
    grammar = select_grammar(schema)
    assert time.perf_counter() - began < 60
    made = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(grammar))
    assert not made.is_error(), made.get_error()
    for sql in ("SELECT own_40 FROM t40", 'SELECT own_63 FROM "t63"'):
        tokens = list(f" {sql}".encode())
        assert made.deep_copy().try_consume_tokens(tokens) == len(tokens), sql


def test_a_name_that_is_a_column_is_given_to_no_other() -> None:
    schema = Schema((Table("t", columns("n", "total", "a b")),))
    assert can_write("select", schema, "SELECT COUNT(*) AS cnt FROM t ORDER BY cnt")
    assert can_write("select", schema, "SELECT n, COUNT(*) AS much FROM t GROUP BY n ORDER BY COUNT(*)")
    for label in ("n", "Total", "t", "T"):
        assert not can_write("select", schema, f"SELECT COUNT(*) AS {label} FROM t")


def test_every_key_word_that_may_be_a_name_can_be_read_and_run() -> None:
    database, written = sqlite3.connect(":memory:"), 0
    database.execute("CREATE TABLE t (a)")
    for word in sorted(word for word in {*RESERVED, *Tokenizer.KEYWORDS} if re.fullmatch(r"[A-Z_]+", word)):
        sql = f"SELECT COUNT(*) AS {word} FROM t"
        if can_write("select", Schema((Table("t", columns("a")),)), sql):
            written += 1
            check_read_only(sql)
            database.execute(sql)
    assert written > 100
