"""Questions in a file, and answers out: JSON Lines, CSV and Parquet, by the file's ending.

Every row is checked before a model is loaded, and all that is wrong is listed with its place. Not covered: files that
do not fit into memory.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import PromptConfig
from t2s.data.lines import objects
from t2s.data.samples import with_samples
from t2s.errors import ConfigError, DataError, SQLError, suggest
from t2s.generate.core import Request
from t2s.sql.core import Schema
from t2s.sql.schema import parse_schema, schema_of_database

FORMATS = (".jsonl", ".csv", ".parquet")
OWN = ("sql", "finished", "adapter")
"""Columns that answers add; an input's column of that name is kept as ``input_<name>``."""
MAX_LISTED = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """What is asked: a schema, and the SQLite or DuckDB file behind it if there is one."""

    schema: Schema
    database: Path | None = None


@dataclass(frozen=True)
class Asked:
    """One row: all its columns, its question, and what the question is about."""

    row: Row
    question: str
    source: Source


def request_of(prompt: PromptConfig, question: str, source: Source) -> Request:
    """The question as the model is asked it, with sample values if its prompt shows some."""
    return Request(question, with_samples(source.schema, source.database, prompt.sample_values), source.database)


def format_of(file: Path, option: str) -> str:
    """The ending; a :class:`ConfigError` for one that is not known."""
    ending = file.suffix.lower()
    if ending not in FORMATS:
        raise ConfigError(
            f"{option} {file}: write its format as ending: {', '.join(FORMATS)}{suggest(ending, FORMATS)}"
        )
    return ending


def read_source(schema: str | None, database: Path | None, table_name: str | None) -> Source:
    """Exactly one of a schema's text and a database's file."""
    if (schema is None) == (database is None):
        raise ConfigError('say what is asked: either --schema "TABLE: t ( a (real), b (text) )" or --database FILE')
    if database is not None:
        return _of_database(database, table_name)
    assert schema is not None
    if table_name is not None:
        raise ConfigError("--table goes with --database")
    try:
        return _of_text(schema)
    except SQLError as error:
        raise ConfigError(f"--schema: {error}") from None


def read_questions(file: Path, default: Source | None = None) -> list[Asked]:
    """Every row; those that name neither a schema nor a database are asked of ``default``.

    Raises:
        DataError: the places and the problems of up to twenty rows.
    """
    problems: list[str] = []
    reader = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}[format_of(file, "--input")]
    asked = []
    for place, row in reader(file, problems):
        try:
            asked.append(_asked(row, file.parent, default))
        except (ConfigError, DataError, SQLError) as error:
            problems.append(f"{place}: {error}")
    if problems or not asked:
        more = f"\n... and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        listed = "\n".join(problems[:MAX_LISTED]) + more if problems else f"{file}: holds no questions"
        raise DataError(f"{listed}\ngive each row a question, and a schema (TABLE: ...) or a database (a file)")
    return [Asked(_with_id(each.row, number), each.question, each.source) for number, each in enumerate(asked, 1)]


def write_answers(rows: Sequence[Row], file: Path) -> None:
    """The whole file, aside first, so that it is never there in part."""
    aside = file.with_name(f".{file.name}.tmp")
    write = {".jsonl": _write_jsonl, ".csv": _write_csv, ".parquet": _write_parquet}[format_of(file, "--output")]
    try:
        write(rows, aside)
        aside.replace(file)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written: {error.strerror}; name another place") from None
    finally:
        aside.unlink(missing_ok=True)


def check_output(file: Path, asked: Sequence[Asked]) -> None:
    """Refuse now what could not be written after the work."""
    ending = format_of(file, "--output")
    if file.exists():
        raise ConfigError(f"--output {file}: is there already and is never overwritten: remove it or name another file")
    if not file.parent.is_dir():
        raise ConfigError(f"--output {file}: there is no folder {file.parent}: make it first")
    if ending == ".parquet":
        _arrow([answered(each.row, "", True, "") for each in asked], file)


def answered(row: Row, sql: str, finished: bool, adapter: str) -> Row:
    """A row of the output."""
    kept = {f"input_{name}" if name in OWN else name: value for name, value in row.items()}
    return kept | {"sql": sql, "finished": finished, "adapter": adapter}


def json_line(row: Any) -> str:
    """A row, or a value of one, as one line of JSON; what JSON does not know, such as a date, as its text."""
    return json.dumps(row, ensure_ascii=False, default=str)


def _with_id(row: Row, number: int) -> Row:
    return row if row.get("id") not in (None, "") else {"id": number} | {k: v for k, v in row.items() if k != "id"}


def _asked(row: Row, folder: Path, default: Source | None) -> Asked:
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise DataError("has no question")
    found = {name: row.get(name) or None for name in ("schema", "database", "table")}
    wrong = [name for name, value in found.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise DataError(f"{wrong[0]} is not text")
    schema, database, table = found["schema"], found["database"], found["table"]
    if schema is None and database is None and default is not None and table is None:
        return Asked(row, question, default)
    if (schema is None) == (database is None):
        raise DataError("needs either a schema or a database")
    if schema is not None:
        return Asked(row, question, _of_text(schema))
    assert database is not None
    return Asked(row, question, _of_database(folder / database, table))


@functools.lru_cache(maxsize=4096)
def _of_text(text: str) -> Source:
    return Source(parse_schema(text))


@functools.lru_cache(maxsize=4096)
def _of_database(database: Path, table: str | None) -> Source:
    return Source(schema_of_database(database, table), database)


def _read_jsonl(file: Path, problems: list[str]) -> Iterator[tuple[str, Row]]:
    def report(number: int, fault: str) -> None:
        problems.append(f"{file}:{number}: {fault}" if number else f"{file}: {fault}")

    for number, row in objects(file, report):
        yield f"{file}:{number}", row


def _read_csv(file: Path, problems: list[str]) -> Iterator[tuple[str, Row]]:
    """The header names the columns; an empty cell is no value. Places are the lines on which rows end."""
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = list(reader.fieldnames or [])
            if "question" not in names or len(set(names)) < len(names):
                problems.append(f"{file}:1: the header must name each column once, and a question; it has {names[:10]}")
                return
            for row in reader:
                number = reader.line_num
                if None in row or None in row.values():
                    problems.append(f"{file}:{number}: has not as many cells as the header; quote cells with commas")
                else:
                    yield f"{file}:{number}", {name: cell if cell != "" else None for name, cell in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{file}:{number + 1}: cannot be read as CSV in UTF-8: {error}")


def _read_parquet(file: Path, problems: list[str]) -> Iterator[tuple[str, Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
        rows = table.to_pylist()
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        problems.append(f"{file}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}")
        return
    for number, row in enumerate(rows, 1):
        yield f"{file}, row {number}", row


def _write_jsonl(rows: Sequence[Row], file: Path) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(json_line(row) + "\n" for row in rows)


def _write_csv(rows: Sequence[Row], file: Path) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.DictWriter(stream, _names(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _write_parquet(rows: Sequence[Row], file: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(_arrow(rows, file), file)


def _arrow(rows: Sequence[Row], file: Path) -> Any:
    """Columns of one type each, as Parquet wants them."""
    import pyarrow

    columns = {}
    for name in _names(rows):
        try:
            columns[name] = pyarrow.array([row.get(name) for row in rows])
        except (pyarrow.ArrowException, OverflowError) as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"{file}: column {name!r} mixes types ({reason}): name a .jsonl output") from None
    return pyarrow.table(columns)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> Any:
    return json_line(value) if isinstance(value, list | dict) else value
