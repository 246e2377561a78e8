"""``t2s infer``: one question, a file of questions, or a conversation. It loads the model here, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s.cli.console import out, say
from t2s.cli.infer_files import Asked, Source, check_output, read_questions, read_source
from t2s.cli.plain import plain
from t2s.config import Config
from t2s.data.samples import with_samples
from t2s.errors import ConfigError
from t2s.generate.core import Request
from t2s.runtime import pin_paths
from t2s.sql.schema import parse_schema

__all__ = ["Source", "infer_verb"]

EXAMPLES = (
    ("How many employees earn more than 50000?", "TABLE: employees ( id (real), name (text), salary (real) )"),
    ("Which city has Ada Lovelace as mayor?", "TABLE: cities ( city (text), mayor (text), population (real) )"),
    ("What is the highest score by Lions at Oslo?", "TABLE: matches ( team (text), venue (text), score (real) )"),
)


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
    source = _source(chosen[0], schema, database, table_name)
    asked = read_questions(input_file, source) if input_file else []
    if output_file is not None:
        check_output(output_file, asked)
    generator, about = _load(pin_paths(config), adapter)
    if asked:
        _answer_lines(generator, asked, output_file, about)
    elif examples:
        for example, text in EXAMPLES:
            say(f"\n{text}\n{example}")
            _answer(generator, example, Source(parse_schema(text)))
    elif question and source:
        _answer(generator, question, source)
    elif source:
        from t2s.cli.infer_repl import Conversation

        Conversation(generator, source, config.serve.databases).run()


def _source(mode: str, schema: str | None, database: Path | None, table_name: str | None) -> Source | None:
    """What is asked; for a file, what its rows are asked of that do not say."""
    given = (schema, database, table_name) != (None, None, None)
    if mode == "--examples" and given:
        raise ConfigError("--examples brings its own schemas: leave out --schema, --database and --table")
    if mode in ("--examples", "--input") and not given:
        return None
    return read_source(schema, database, table_name)


def _load(config: Config, adapter: str) -> tuple[Any, dict[str, str]]:
    """The generator, and who it is: what two batches must share to be one."""
    from t2s.generate import load_generator
    from t2s.generate.regime import decoding_regime
    from t2s.model.adapter import weights_hash
    from t2s.model.base import find_base
    from t2s.prompt import regime
    from t2s.registry import resolve_adapter

    resolved = resolve_adapter(config, adapter)
    say(f"loading {config.model.name}, adapter {resolved.version}")
    import torch

    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    generator = load_generator(config, resolved.path)
    about = {
        "base": find_base(config.model).fingerprint,
        "adapter": resolved.version,
        "weights": weights_hash(resolved.path) if resolved.path else "none",
        "prompt": regime(config.prompt),
        "decoding": f"{decoding_regime(config.inference)}, {config.inference.max_new_tokens} tokens",
    }
    return generator, about


def _answer(generator: Any, question: str, source: Source) -> None:
    """Print the SQL, and the rows if there is a database."""
    from t2s.cli.infer_repl import show_rows
    from t2s.sql.sandbox import Sandbox

    sql = generator.generate([_request(generator, question, source)])[0].sql
    out.print(plain(sql), markup=False)
    if source.database is not None:
        with Sandbox() as sandbox:
            show_rows(sandbox, source, sql)


def _request(generator: Any, question: str, source: Source) -> Request:
    """The question as the model is asked it, with sample values if its prompt shows some."""
    schema = with_samples(source.schema, source.database, generator.prompt.sample_values)
    return Request(question, schema, source.database)


def _answer_lines(generator: Any, asked: Sequence[Asked], output_file: Path | None, about: dict[str, str]) -> None:
    from t2s.cli.infer_batch import answer_file, answer_to_stdout

    requests = [_request(generator, each.question, each.source) for each in asked]
    if output_file is None:
        answer_to_stdout(generator, asked, requests, about)
    else:
        answer_file(generator, asked, requests, output_file, about)
