"""Bad lines and files of a user's own JSONL, each with a piece of the message that it must get."""

from __future__ import annotations

import json
from typing import Any

SCHEMA = (
    "TABLE: staff ( id (real), name (text), salary (real) ) TABLE: teams ( id (real), lead (real) ) "
    "KEY: teams.lead = staff.id"
)
GOOD = {"question": "Who earns over 5?", "sql": "SELECT name FROM staff WHERE salary > 5", "schema": SCHEMA}


def line(**fields: Any) -> bytes:
    """A line of ``GOOD`` with other fields; a field of None is left out."""
    record = {**GOOD, "question": "A question of its own?", **fields}
    return json.dumps({key: value for key, value in record.items() if value is not None}).encode()


def on(database: str, sql: str = "SELECT label FROM goods", **fields: Any) -> bytes:
    """A line over a database file."""
    return line(schema=None, database=database, sql=sql, **fields)


DEEP = b'{"question": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"

LINES: dict[str, tuple[bytes, str]] = {
    # JSON
    "truncated": (line()[:40], "not JSON"),
    "two objects on one line": (line() + line(), "not JSON: Extra data"),
    "trailing comma": (b'{"question": "q",}', "not JSON"),
    "single quotes": (b"{'question': 'q'}", "not JSON"),
    "comment": (b"// a comment", "not JSON"),
    "csv": (b"question,sql,schema", "not JSON"),
    "NaN": (b'{"question": NaN}', "NaN is not a JSON number"),
    "Infinity": (b'{"question": Infinity}', "Infinity is not a JSON number"),
    "-Infinity": (b'{"question": -Infinity}', "-Infinity is not a JSON number"),
    "a number too large": (b'{"question": 1e999}', "the number 1e999 is too large"),
    "a whole number beyond 64 bits": (b'{"question": 9223372036854775808}', "beyond 64 bits"),
    "ten thousand digits": (b'{"question": ' + b"9" * 10_000 + b"}", "beyond 64 bits"),
    "a list": (b'["q", "SELECT 1"]', "expected a JSON object, found a list"),
    "a string": (b'"SELECT 1"', "expected a JSON object, found a string"),
    "a number": (b"7", "expected a JSON object, found a number"),
    "null": (b"null", "expected a JSON object, found null"),
    "empty line": (b"", "empty line"),
    "blank line": (b" \t ", "empty line"),
    "deep nesting": (DEEP, "nests too deeply"),
    "a key twice": (b'{"question": "a", "question": "b"}', "the key 'question' occurs twice"),
    "half a character": (b'{"question": "\\ud83d"}', r"\\ud83d is half of a character"),
    "latin-1": (b'{"question": "caf\xe9"}', "not UTF-8 .byte 18 is 0xe9"),
    "overlong UTF-8": (b'{"question": "\xc0\xaf"}', "not UTF-8"),
    "zero bytes": (b"\0" * 64, "zero bytes"),
    "a byte order mark inside": (b"\xef\xbb\xbf" + line(), "not JSON"),
    "control character": (b'{"question": "a\x01b"}', "not JSON: Invalid control character"),
    # fields
    "no question": (line(question=None), "field 'question' is missing"),
    "no sql": (line(sql=None), "field 'sql' is missing"),
    "unknown field": (line(quesion="x"), r"unknown field 'quesion' \(did you mean 'question'"),
    "question is a list": (line(question=["q"]), "field 'question': expected a string, found a list"),
    "question is a boolean": (line(question=True), "field 'question': expected a string, found a boolean"),
    "sql is an object": (line(sql={"sel": 1}), "field 'sql': expected a string, found an object"),
    "id is a number": (line(id=7), "field 'id': expected a string, found a number"),
    "empty question": (line(question="  "), "field 'question' is empty"),
    "zero character": (line(question="a\0b"), "holds a zero character"),
    "schema and database": (line(database="shop.db"), "found both"),
    "neither schema nor database": (line(schema=None), "found neither"),
    "table and tables": (line(table="staff", tables=["staff"]), "'table' or a field 'tables', found both"),
    "tables is a string": (line(tables="staff"), "field 'tables': expected a list of table names, found a string"),
    "tables is empty": (line(tables=[]), "found an empty list"),
    "tables holds a number": (line(tables=[1]), "field 'tables': expected a string, found a number"),
    # schemas and databases
    "no schema text": (line(schema="staff: id"), "field 'schema': schema, character 1"),
    "a table without columns": (line(schema="TABLE: staff ( )"), "a column has no name"),
    "an open schema": (line(schema="TABLE: staff ( id (real)"), "not closed"),
    "unknown table": (line(table="stuff"), r"unknown table 'stuff' \(did you mean 'staff'"),
    "unknown tables": (line(tables=["staff", "team"]), r"unknown table 'team' \(did you mean 'teams'"),
    "unknown database": (on("shop2.db"), r"'shop2.db' is not in .*did you mean 'shop.db'"),
    "a folder": (on("folder"), "is a folder"),
    "not a database": (on("notes.txt"), "is not a database"),
    "a damaged database": (on("damaged.db"), "cannot be read as a SQLite database"),
    "an empty file": (on("zero.db"), "has no tables"),
    "outside the folder": (on("../outside.db"), "lies outside"),
    "an absolute path": (on("/etc/passwd"), "lies outside"),
    "a link out of the folder": (on("link.db"), "lies outside"),
    "a name too long": (on("x" * 5000), "cannot be opened|is not in"),
    # gold SQL
    "no SQL": (line(sql="give me the names"), "field 'sql'"),
    "misspelled": (line(sql="SELEC name FROM staff"), "field 'sql': expected SELECT"),
    "open parenthesis": (line(sql="SELECT name FROM staff WHERE ("), "field 'sql'"),
    "open quote": (line(sql="SELECT name FROM staff WHERE name = 'x"), "field 'sql'"),
    "a write": (line(sql="DELETE FROM staff"), "field 'sql'"),
    "a write in a WITH": (line(sql="WITH x AS (DELETE FROM staff RETURNING *) SELECT * FROM x"), "field 'sql'"),
    "DDL": (line(sql="DROP TABLE staff"), "field 'sql'"),
    "ATTACH": (line(sql="ATTACH 'x.db' AS x"), "field 'sql'"),
    "two statements": (line(sql="SELECT 1; SELECT 2"), "field 'sql': expected one statement"),
    "unknown table in SQL": (line(sql="SELECT name FROM stuff"), r"unknown table 'stuff' \(did you mean 'staff'"),
    "unknown table in a join": (line(sql="SELECT * FROM staff JOIN team ON 1"), "unknown table 'team'"),
    "table left out by tables": (
        line(tables=["staff"], sql="SELECT lead FROM teams"),
        "unknown table 'teams'",
    ),
    "unknown column": (line(sql="SELECT nam FROM staff"), "no column 'nam'"),
    "unknown column in quotes": (
        line(sql='SELECT "Nope" FROM staff, teams'),
        "no column 'Nope'",
    ),
    "column of another table": (
        line(sql="SELECT t.salary FROM staff AS s JOIN teams AS t ON t.lead = s.id"),
        "no column 'salary' in t",
    ),
    "unknown alias": (line(sql="SELECT x.name FROM staff AS s, teams AS t"), "'x' in .* is no table of the query"),
    "SQL of eleven thousand characters": (line(sql="SELECT name FROM staff -- " + "x" * 11_000), "at most 10000"),
    "SQL that nests": (line(sql="SELECT " + "(" * 400 + "1" + ")" * 400 + " FROM staff"), "nests 400 parentheses"),
}
"""By what is wrong: the line (the second of its file), and a pattern of the message after ``file:2: ``."""

FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, r"train\.jsonl: no such file"),
    "empty": (b"", r"train\.jsonl: is empty"),
    "only blank lines": (b"\n\n\n", r"train\.jsonl:1: empty line"),
    "UTF-16": ("\ufeff{}\n".encode("utf-16-le"), r"train\.jsonl: is UTF-16"),
    "UTF-16 big-endian": ("\ufeff{}\n".encode("utf-16-be"), r"train\.jsonl: is UTF-16"),
    "UTF-16 without a mark": ('{"question": "q"}\n'.encode("utf-16-le"), r"train\.jsonl:1: not JSON.*zero bytes"),
    "a byte order mark": (b"\xef\xbb\xbf" + line() + b"\n", r"train\.jsonl:1: starts with a byte order mark"),
    "one JSON list": (b"[\n" + line() + b"\n]\n", r"train\.jsonl:1: not JSON"),
    "pretty-printed": (json.dumps(GOOD, indent=1).encode(), r"train\.jsonl:1: not JSON"),
    "cut off": (line(id="a") + b"\n" + line(id="b")[:50], r"train\.jsonl:2: .*is the file cut off"),
    "old Macintosh line ends": (line() + b"\r" + line() + b"\r", r"train\.jsonl:1: not JSON: Extra data"),
    "a database": (b"SQLite format 3\0" + bytes(range(256)) * 8, r"train\.jsonl:1: not"),
    "compressed": (b"\x1f\x8b\x08\0" + bytes(range(200, 256)), r"train\.jsonl:1: not UTF-8"),
    "duplicate ids": (line(id="a") + b"\n" + line(id="a", question="Another?"), r"train\.jsonl:2: id 'a' occurs twice"),
}
"""By what is wrong: the content of ``train.jsonl``, and a pattern of the message."""
