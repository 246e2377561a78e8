"""Write one split in the official layout: ``<split>.jsonl``, ``<split>.tables.jsonl`` and ``<split>.db``.

As in the official files, the database holds lower-cased text and the tables' file the original case. Every
gold query has been run on the database, with plain sqlite3, and found something.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from t2s.data.synthetic.domains import DOMAINS
from t2s.data.synthetic.forms import NUM_CONDITIONS, draw_form
from t2s.data.synthetic.questions import say
from t2s.data.synthetic.tables import DrawnTable, draw_table
from t2s.errors import DataError
from t2s.sql.core import AGGREGATIONS, OPERATORS, LogicalForm, Value
from t2s.sql.official import physical_name

QUESTIONS_PER_TABLE = 6
MAX_TRIES = 200


def write_split(folder: Path, split: str, num_examples: int, seed: int) -> None:
    """Write the three files of ``split`` into ``folder``: ``num_examples`` over a sixth as many tables."""
    rng = Random(f"t2s synthetic {split} {seed}")
    database = folder / f"{split}.db"
    with (
        (folder / f"{split}.jsonl").open("w", encoding="utf-8") as questions,
        (folder / f"{split}.tables.jsonl").open("w", encoding="utf-8") as tables,
        closing(sqlite3.connect(database)) as connection,
    ):
        for table, drawn in draw_split(rng, split, num_examples, connection):
            print(json.dumps(table_record(table), ensure_ascii=False), file=tables)
            for question, form in drawn:
                record = {"phase": 1, "table_id": table.id, "question": question, "sql": form.to_dict()}
                print(json.dumps(record, ensure_ascii=False), file=questions)
        connection.commit()


def draw_split(
    rng: Random, split: str, num_examples: int, connection: sqlite3.Connection
) -> Iterator[tuple[DrawnTable, list[tuple[str, LogicalForm]]]]:
    """Tables, the split's domains in turn, each with its questions; the tables go to ``connection``."""
    domains, deck = DOMAINS[split], deal(rng)
    order: list[int] = []
    for number, start in enumerate(range(0, num_examples, QUESTIONS_PER_TABLE)):
        order = order or rng.sample(range(len(domains)), len(domains))
        table = draw_table(rng, domains[order.pop()], f"s-{split}-{number}")
        insert(connection, table)
        wanted = min(QUESTIONS_PER_TABLE, num_examples - start)
        yield table, draw_questions(rng, table, [next(deck) for _ in range(wanted)], connection)


def deal(rng: Random) -> Iterator[int]:
    """Numbers of conditions, dealt from a shuffled deck so that the mix is kept exactly."""
    while True:
        yield from rng.sample(NUM_CONDITIONS, len(NUM_CONDITIONS))


def draw_questions(
    rng: Random, table: DrawnTable, conditions: list[int], connection: sqlite3.Connection
) -> list[tuple[str, LogicalForm]]:
    """One question for each number of conditions, no two alike in their words or in their query."""
    drawn: dict[str, tuple[str, LogicalForm]] = {}
    for num_conditions in conditions:
        for _ in range(MAX_TRIES):
            question, form = say(rng, table, draw_form(rng, table, num_conditions))
            told = question not in {said for said, _ in drawn.values()}
            if told and repr(form) not in drawn and finds_something(connection, table.id, form):
                drawn[repr(form)] = (question, form)
                break
        else:
            raise DataError(f"table {table.id}: no new question in {MAX_TRIES} tries; report this with the seed")
    return list(drawn.values())


def table_record(table: DrawnTable) -> dict[str, Any]:
    """The line of ``.tables.jsonl``; ``name`` is the table's name in the prompt."""
    return {
        "id": table.id,
        "name": table.name,
        "header": list(table.headers),
        "types": [spec.type for spec in table.specs],
        "rows": [list(row) for row in table.rows],
    }


def insert(connection: sqlite3.Connection, table: DrawnTable) -> None:
    """Create the table as the official databases do."""
    columns = ", ".join(f"col{at} {spec.type}" for at, spec in enumerate(table.specs))
    name = physical_name(table.id)
    connection.execute(f"CREATE TABLE {name} ({columns})")
    places = ", ".join("?" * len(table.specs))
    rows = [[lowered(cell) for cell in row] for row in table.rows]
    connection.executemany(f"INSERT INTO {name} VALUES ({places})", rows)


def finds_something(connection: sqlite3.Connection, table_id: str, form: LogicalForm) -> bool:
    """Whether the query returns a row that is not just NULL."""
    selected = f"{AGGREGATIONS[form.agg]}(col{form.sel})"
    where = " AND ".join(f"col{c.column} {OPERATORS[c.op]} ?" for c in form.conds) or "1"
    query = f"SELECT {selected} FROM {physical_name(table_id)} WHERE {where}"
    rows = connection.execute(query, [lowered(c.value) for c in form.conds])
    return any(row[0] not in (None, 0) if form.agg == 3 else row[0] is not None for row in rows)


def lowered(cell: Value) -> Value:
    """Text in lower case, numbers as they are."""
    return cell.lower() if isinstance(cell, str) else cell
