"""``t2s infer``: one question, a file of questions, or a conversation.

It loads the model here, without Ray; a file may be spread over ``--workers`` copies of it on Ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s.cli.console import out, say
from t2s.cli.infer_files import Asked, Source, check_output, read_questions, read_source, request_of
from t2s.cli.plain import plain
from t2s.config import Config
from t2s.errors import ConfigError
from t2s.runtime import pin_paths
from t2s.sql.schema import parse_schema

if TYPE_CHECKING:
    from t2s.cli.infer_batch import Stream
    from t2s.registry import ResolvedAdapter

__all__ = ["Source", "infer_verb"]

BATCHES_A_HAND = 4
"""Batches of the decoder that a worker is handed at a time, sorted by length there."""

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
    workers: int = 0,
) -> None:
    """Check what was asked for, load the model, answer."""
    modes = {"--question": question, "--examples": examples, "--input": input_file, "--interactive": interactive}
    chosen = [name for name, value in modes.items() if value]
    if len(chosen) != 1:
        found = " and ".join(chosen) or "none of them"
        raise ConfigError(f"infer takes exactly one of {', '.join(modes)}; found {found}")
    if output_file is not None and input_file is None:
        raise ConfigError("--output goes with --input")
    if workers and input_file is None:
        raise ConfigError("--workers goes with --input: one question needs no more than one model")
    source = _source(chosen[0], schema, database, table_name)
    asked = read_questions(input_file, source) if input_file else []
    if output_file is not None:
        check_output(output_file, asked)
    config = pin_paths(config)
    resolved = _found(config, adapter)
    if asked:
        _answer_lines(config, resolved, workers, asked, output_file)
        return
    generator = load_copy(config, resolved.version)
    if examples:
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


def _found(config: Config, adapter: str) -> ResolvedAdapter:
    from t2s.registry import resolve_adapter

    resolved = resolve_adapter(config, adapter)
    say(f"loading {config.model.name}, adapter {resolved.version}")
    return resolved


def load_copy(config: Config, adapter: str) -> Any:
    """The generator, in whatever process this runs; ``adapter`` is a resolved name, fetched where this is."""
    import torch

    from t2s.generate import load_generator
    from t2s.registry import resolve_adapter

    torch.set_num_threads(max(1, int(config.ray.worker_cpus)))
    return load_generator(config, resolve_adapter(config, adapter).path)


def _about(config: Config, resolved: ResolvedAdapter) -> dict[str, str]:
    """Who answers: what two batches must share to be one."""
    from t2s.generate.regime import decoding_regime
    from t2s.model.adapter import weights_hash
    from t2s.model.base import find_base
    from t2s.prompt import regime

    return {
        "base": find_base(config.model).fingerprint,
        "adapter": resolved.version,
        "weights": weights_hash(resolved.path) if resolved.path else "none",
        "prompt": regime(config.prompt),
        "decoding": f"{decoding_regime(config.inference)}, {config.inference.max_new_tokens} tokens",
    }


@contextmanager
def _answering(config: Config, resolved: ResolvedAdapter, workers: int) -> Iterator[Stream]:
    """The model here, or copies of it on Ray."""
    from t2s.cli.infer_batch import in_chunks

    if not workers:
        yield in_chunks(load_copy(config, resolved.version).stream)
        return
    from t2s.generate.spread import Spread
    from t2s.runtime import ray_session, uses_gpu

    # Ray 2.60 prints a line of C++ for each actor of Ray Data ("constructor arguments in the object store"): they are
    # this process's own, and end with it.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with ray_session(config):
        size = BATCHES_A_HAND * config.inference.batch_size
        gpus = 1.0 if uses_gpu(config) else 0.0
        load = partial(load_copy, config, resolved.version)
        yield Spread(load, workers, size, config.ray.worker_cpus, gpus).stream


def _answer(generator: Any, question: str, source: Source) -> None:
    """Print the SQL, and the rows if there is a database."""
    from t2s.cli.infer_repl import ask_one, show_rows
    from t2s.sql.sandbox import Sandbox

    sql = ask_one(generator, question, source).sql
    out.print(plain(sql), markup=False)
    if source.database is not None:
        with Sandbox() as sandbox:
            show_rows(sandbox, source, sql)


def _answer_lines(
    config: Config, resolved: ResolvedAdapter, workers: int, asked: Sequence[Asked], output_file: Path | None
) -> None:
    from t2s.cli.infer_batch import answer_file, answer_to_stdout

    requests = [request_of(config.prompt, each.question, each.source) for each in asked]
    with _answering(config, resolved, workers) as stream:
        if output_file is None:
            answer_to_stdout(stream, asked, requests, resolved.version)
        else:
            answer_file(stream, asked, requests, output_file, _about(config, resolved))
