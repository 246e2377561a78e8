"""Large data for load tests, in the official layout: tables of thousands of rows, written as they are drawn.

The questions are those of the ``synthetic`` pipeline over the same domains; only the tables are longer, and the
value that names a row ends in its number, so that it names one row. One table at a time is held in memory, and
none has more than ``MAX_TABLE_ROWS`` rows. Not covered: wide tables, skewed values, indexes.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from t2s.data.cache import build_once
from t2s.data.synthetic.domains import DOMAINS
from t2s.data.synthetic.splits import deal, draw_questions, insert, table_record
from t2s.data.synthetic.tables import DrawnTable, draw_table
from t2s.errors import ConfigError
from t2s.sql.core import Value

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
MAX_TABLE_ROWS = 20_000
MAX_TABLE_QUESTIONS = 6
KNOWN_ROWS = 200
"""Rows of a table that its questions are drawn from."""


def generate(out: Path, num_rows: int, num_questions: int, seed: int = 0) -> dict[str, Any]:
    """Write ``num_rows`` rows and ``num_questions`` questions into the new directory ``out``; dev and test get a tenth.

    The same numbers and seed give the same files. Returns the manifest: tables, rows and questions by split.

    Raises:
        ConfigError: ``out`` exists, or there are too few rows for the questions.
        SetupError: it cannot be written.
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; name a directory that does not")
    for name, number, least in (("--rows", num_rows, 30), ("--questions", num_questions, 10)):
        if number < least:
            raise ConfigError(f"{name} {number}: expected at least {least}, so that each split gets some")
    manifest: dict[str, Any] = {"rows": num_rows, "questions": num_questions, "seed": seed, "splits": {}}

    def write(aside: Path) -> dict[str, Any]:
        (aside / "data").mkdir()
        for split, (rows, questions) in _divide(num_rows, num_questions).items():
            manifest["splits"][split] = _write_split(aside / "data", split, rows, questions, seed)
        return manifest

    build_once(out, write)
    return manifest


def _divide(num_rows: int, num_questions: int) -> dict[str, tuple[int, int]]:
    parts = {split: (round(num_rows * share), round(num_questions * share)) for split, share in SHARES.items()}
    others = [parts["dev"], parts["test"]]
    parts["train"] = (num_rows - sum(r for r, _ in others), num_questions - sum(q for _, q in others))
    return parts


def _write_split(folder: Path, split: str, num_rows: int, num_questions: int, seed: int) -> dict[str, int]:
    tables = max(math.ceil(num_rows / MAX_TABLE_ROWS), math.ceil(num_questions / MAX_TABLE_QUESTIONS))
    if num_rows < 3 * tables:
        raise ConfigError(f"--rows: {num_questions} {split} questions need {3 * tables} rows, found {num_rows}")
    rng = Random(f"t2s load {split} {seed}")
    deck = deal(rng)
    with (
        (folder / f"{split}.jsonl").open("w", encoding="utf-8") as asked,
        (folder / f"{split}.tables.jsonl").open("w", encoding="utf-8") as described,
        closing(sqlite3.connect(folder / f"{split}.db")) as connection,
    ):
        for number in range(tables):
            rows = _part(num_rows, tables, number)
            table = _draw(rng, split, number, rows)
            insert(connection, table)
            described.write(json.dumps(table_record(table), ensure_ascii=False) + "\n")
            known = replace(table, rows=table.rows[:KNOWN_ROWS])
            wanted = [next(deck) for _ in range(_part(num_questions, tables, number))]
            for question, form in draw_questions(rng, known, wanted, connection):
                record = {"phase": 1, "table_id": table.id, "question": question, "sql": form.to_dict()}
                asked.write(json.dumps(record, ensure_ascii=False) + "\n")
            connection.commit()
    return {"tables": tables, "rows": num_rows, "questions": num_questions}


def _part(total: int, parts: int, number: int) -> int:
    """The size of one of ``parts`` parts of ``total`` that differ by at most one."""
    return total * (number + 1) // parts - total * number // parts


def _draw(rng: Random, split: str, number: int, num_rows: int) -> DrawnTable:
    domains = DOMAINS[split]
    small = draw_table(rng, domains[number % len(domains)], f"load-{split}-{number}")
    return replace(small, rows=tuple(_rows(rng, small, num_rows)))


def _rows(rng: Random, table: DrawnTable, num_rows: int) -> Iterator[tuple[Value, ...]]:
    for number in range(1, num_rows + 1):
        cells = [spec.maker.draw(rng) for spec in table.specs]
        cells[table.key] = f"{cells[table.key]} {number}"
        yield tuple(cells)
