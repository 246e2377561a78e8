"""Bad lines of the official layout's two files, each with a piece of the message that it must get."""

from __future__ import annotations

import json
from typing import Any

TABLE = {"id": "1-2-3", "header": ["Name", "Age"], "types": ["text", "real"], "rows": [["Ann", 3], ["Bo", 5]]}
QUESTION = {"table_id": "1-2-3", "question": "Who is 5?", "sql": {"sel": 0, "agg": 0, "conds": [[1, 0, 5]]}}


def ask(**fields: Any) -> bytes:
    return json.dumps({**QUESTION, **fields}).encode()


def form(**parts: Any) -> bytes:
    return ask(sql={**QUESTION["sql"], **parts})  # type: ignore[dict-item]


def table(**fields: Any) -> bytes:
    return json.dumps({**TABLE, "id": "1-2-4", **fields}).encode()


QUESTIONS: dict[str, tuple[bytes, str]] = {
    "truncated": (ask()[:30], "not JSON"),
    "a list": (b"[1]", "expected a JSON object"),
    "empty line": (b"", "empty line"),
    "NaN as a value": (b'{"sql": {"conds": [[0, 0, NaN]]}}', "NaN is not a JSON number"),
    "Infinity as a value": (form(conds=[[1, 0, float("inf")]]), "Infinity is not a JSON number"),
    "a huge value": (form(conds=[[1, 0, 10**30]]), "beyond 64 bits"),
    "a key twice": (b'{"table_id": "1-2-3", "table_id": "1-2-3"}', "occurs twice"),
    "unknown table": (ask(table_id="1-2-5"), r"table_id '1-2-5' is not in .*did you mean '1-2-3'"),
    "table_id is a number": (ask(table_id=3), "field 'table_id': expected a string, found a number"),
    "no table_id": (b'{"question": "q"}', "field 'table_id': expected a string, it is missing"),
    "question is null": (ask(question=None), "field 'question': expected a string, found null"),
    "empty question": (ask(question=" "), "field 'question' is empty"),
    "no sql": (ask(sql=None), "field 'sql': not a logical form"),
    "sql is text": (ask(sql="SELECT 1"), "field 'sql': not a logical form"),
    "sel out of range": (form(sel=2), "column 2 is out of range"),
    "sel is negative": (form(sel=-1), "column -1 is out of range"),
    "sel is text": (form(sel="0"), "whole numbers, not a string"),
    "sel is a fraction": (form(sel=0.5), "whole numbers, not a number"),
    "sel is a boolean": (form(sel=True), "whole numbers, not a boolean"),
    "agg out of range": (form(agg=6), "aggregation 6 is out of range"),
    "op out of range": (form(conds=[[1, 3, 5]]), "operator 3 is out of range"),
    "column of a condition out of range": (form(conds=[[7, 0, 5]]), "column 7 is out of range"),
    "a condition of two parts": (form(conds=[[1, 0]]), "not a logical form"),
    "a condition of four parts": (form(conds=[[1, 0, 5, 5]]), "not a logical form"),
    "conds is an object": (form(conds={"a": 1}), "not a logical form"),
    "conds is a number": (form(conds=3), "not a logical form"),
    "conds is missing": (ask(sql={"sel": 0, "agg": 0}), "not a logical form"),
    "a condition is an object": (form(conds=[{"column": 1}]), "not a logical form"),
    "a value is null": (form(conds=[[1, 0, None]]), "compares with a string or a finite number"),
    "a value is a list": (form(conds=[[1, 0, [5]]]), "compares with a string or a finite number"),
    "a value is a boolean": (form(conds=[[1, 0, True]]), "compares with a string or a finite number"),
}
"""By what is wrong: the second line of ``dev.jsonl``, and a pattern of the message after ``dev.jsonl:2: ``."""

TABLES: dict[str, tuple[bytes, str]] = {
    "truncated": (table()[:30], "not JSON"),
    "no id": (table(id=None), "field 'id': expected a string, found null"),
    "id twice": (table(id="1-2-3"), "table id '1-2-3' occurs twice"),
    "empty header": (table(header=[]), "field 'header': expected a list of column names"),
    "header is text": (table(header="Name"), "field 'header'"),
    "header holds a number": (table(header=["Name", 3]), "field 'header'"),
    "fewer types than columns": (table(types=["text"]), "one type for each of the 2 columns, found 1 types"),
    "unknown type": (table(types=["text", "date"]), "'date' is not one of text, real"),
    "type is a list": (table(types=["text", ["real"]]), r"\['real'\] is not one of"),
    "no types": (table(types=None), "field 'types'"),
    "a ragged row": (table(rows=[["Ann", 3], ["Bo"]]), "row 2: expected 2 cells, one a column, found 1"),
    "a row too wide": (table(rows=[["Ann", 3, 4]]), "row 1: expected 2 cells, one a column, found 3"),
    "a row is an object": (table(rows=[{"Name": "Ann"}]), "row 1: expected 2 cells"),
    "rows is an object": (table(rows={}), "field 'rows': expected a list of rows, found an object"),
    "a cell is a list": (table(rows=[["Ann", [3]]]), "row 1: a cell is a string, a number or null, not a list"),
    "a cell is NaN": (table(rows=[["Ann", float("nan")]]), "NaN is not a JSON number"),
    "not in the database": (table(), "dev.db has no table table_1_2_4"),
}
"""By what is wrong: the second line of ``dev.tables.jsonl``, and a pattern of the message."""

DATABASES: dict[str, tuple[bytes, str]] = {
    "not a database": (b"not a database, whatever its name says" * 40, "not a SQLite database"),
    "zero bytes": (b"", "is empty"),
    "a damaged header": (b"SQLite format 3\0" + b"\xff" * 200, "not a SQLite database"),
}
"""By what is wrong: the content of ``dev.db``, and a pattern of the message."""
