"""``t2s infer``: one question, a file of questions, or a conversation. It loads the model here, without Ray."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.cli.console import err, meter, out, say, table
from t2s.config import Config
from t2s.data.samples import with_samples
from t2s.errors import ConfigError, DataError, SQLError
from t2s.generate.core import Request
from t2s.runtime import pin_paths
from t2s.sql.core import Schema
from t2s.sql.schema import parse_schema, render_schema, schema_of_database

EXAMPLES = (
    ("How many employees earn more than 50000?", "TABLE: employees ( id (real), name (text), salary (real) )"),
    ("Which city has Ada Lovelace as mayor?", "TABLE: cities ( city (text), mayor (text), population (real) )"),
    ("What is the highest score by Lions at Oslo?", "TABLE: matches ( team (text), venue (text), score (real) )"),
)


@dataclass(frozen=True)
class Source:
    """What is asked: a schema, and the SQLite file behind it if there is one."""

    schema: Schema
    database: Path | None = None


def infer_verb(
    config: Config,
    adapter: str,
    question: str | None,
    schema: str | None,
    database: Path | None,
    table_name: str | None,
    examples: bool,
    input_file: Path | None,
    output_file: Path | None,
    interactive: bool,
) -> None:
    """Check what was asked for, load the model, answer."""
    modes = {"--question": question, "--examples": examples, "--input": input_file, "--interactive": interactive}
    chosen = [name for name, value in modes.items() if value]
    if len(chosen) != 1:
        found = " and ".join(chosen) or "none of them"
        raise ConfigError(f"infer takes exactly one of {', '.join(modes)}; found {found}")
    if output_file is not None and input_file is None:
        raise ConfigError("--output goes with --input")
    source = _source(schema, database, table_name) if question or interactive else None
    lines = _read_lines(input_file) if input_file else []
    generator = _load(pin_paths(config), adapter)
    if question and source:
        _answer(generator, question, source)
    elif examples:
        for example, text in EXAMPLES:
            say(f"\n{text}\n{example}")
            _answer(generator, example, Source(parse_schema(text)))
    elif source:
        _converse(generator, source)
    else:
        _answer_lines(generator, lines, output_file)


def _source(schema: str | None, database: Path | None, table_name: str | None) -> Source:
    if (schema is None) == (database is None):
        raise ConfigError('say what is asked: either --schema "TABLE: t ( a (real), b (text) )" or --database FILE')
    if database is not None:
        return Source(schema_of_database(database, table_name), database)
    assert schema is not None
    try:
        return Source(parse_schema(schema))
    except SQLError as error:
        raise ConfigError(f"--schema: {error}") from None


def _load(config: Config, adapter: str) -> Any:
    from t2s.generate import load_generator
    from t2s.registry import resolve_adapter

    resolved = resolve_adapter(config, adapter)
    say(f"loading {config.model.name}, adapter {resolved.version}")
    import torch

    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    return load_generator(config, resolved.path)


def _answer(generator: Any, question: str, source: Source) -> None:
    """Print the SQL, and the rows if there is a database."""
    sql = generator.generate([_request(generator, question, source)])[0].sql
    out.print(sql, markup=False)
    if source.database is not None:
        _show_rows(source.database, sql)


def _request(generator: Any, question: str, source: Source) -> Request:
    """The question as the model is asked it, with sample values if its prompt shows some."""
    schema = with_samples(source.schema, source.database, generator.prompt.sample_values)
    return Request(question, schema, source.database)


def _show_rows(database: Path, sql: str) -> None:
    from t2s.sql.sandbox import Sandbox

    try:
        with Sandbox() as sandbox:
            result = sandbox.run(database, sql)
    except SQLError as error:
        err.print(f"not executed: {error}", markup=False)
        return
    table(f"{len(result.rows)} rows", result.columns, [[str(cell) for cell in row] for row in result.rows])


def _converse(generator: Any, source: Source) -> None:
    """Question after question until ``.quit`` or the end of input."""
    say("ask a question; .schema shows the schema, .quit ends")
    for line in _typed():
        if line in (".quit", ".exit"):
            return
        if line == ".schema":
            say(render_schema(source.schema))
        elif line:
            _answer(generator, line, source)


def _typed() -> Iterator[str]:
    with contextlib.suppress(ImportError):  # not on every system
        import readline  # noqa: F401  gives input() its history and line editing
    while True:
        try:
            yield input("t2s> ").strip()
        except EOFError:
            return


def _read_lines(file: Path) -> list[tuple[dict[str, Any], Source]]:
    """Every line of a questions file, checked before the model is loaded; all problems are listed."""
    try:
        raw_lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text: {error}") from None
    lines, problems = [], []
    for number, raw in enumerate(raw_lines, 1):
        try:
            lines.append(_read_line(raw, file.parent))
        except (ConfigError, DataError, SQLError, ValueError) as error:
            problems.append(f"{file}:{number}: {error}")
    if problems or not lines:
        listed = "\n".join(problems[:20]) or f"{file}: is empty"
        raise DataError(f"{listed}\nexpected lines of {{'question': ..., 'schema': 'TABLE: ...'}}")
    return lines


def _read_line(raw: str, folder: Path) -> tuple[dict[str, Any], Source]:
    line = json.loads(raw)
    if not isinstance(line, dict) or not isinstance(line.get("question"), str) or not line["question"].strip():
        raise DataError("expected an object with a question")
    database = folder / line["database"] if "database" in line else None
    return line, _source(line.get("schema"), database, line.get("table"))


def _answer_lines(generator: Any, lines: list[tuple[dict[str, Any], Source]], output_file: Path | None) -> None:
    """Answer a file; the output appears under its name only when it is complete."""
    requests = [_request(generator, line["question"], source) for line, source in lines]
    answers: dict[int, str] = {}
    with meter("answering") as progress:
        for batch in generator.stream(requests):
            answers |= {position: answer.sql for position, answer in batch}
            progress.update(len(answers), len(requests))
    texts = [json.dumps(line | {"sql": answers[i]}, ensure_ascii=False) for i, (line, _) in enumerate(lines)]
    if output_file is None:
        for text in texts:
            out.print(text, markup=False)
        return
    aside = output_file.with_name(output_file.name + ".tmp")
    aside.write_text("\n".join(texts) + "\n", encoding="utf-8")
    aside.replace(output_file)
    say(f"{len(texts)} answers in {output_file}")
