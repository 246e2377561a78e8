"""``t2s infer``, ``serve`` and ``ask``: questions to SQL, here and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import AdapterPath, Configs, Overrides, load_settings

family = typer.Typer(rich_markup_mode=None)


@family.command()
def infer(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    adapter_path: AdapterPath = "champion",
    question: Annotated[str | None, typer.Option(help="One question.")] = None,
    schema: Annotated[str | None, typer.Option(help='"TABLE: t ( id (real), name (text) )"')] = None,
    database: Annotated[Path | None, typer.Option(help="A SQLite file to ask, instead of a schema.")] = None,
    table: Annotated[str | None, typer.Option(help="The table of that file, if it has several.")] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Answer three built-in questions.")] = False,
    input: Annotated[
        Path | None,
        typer.Option(help="A .jsonl, .csv or .parquet file: question, and schema or database (and table), a row."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A new .jsonl, .csv or .parquet file; the same command goes on where it was killed."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Copies of the model on Ray (Ray Data) that share --input; 0 is one, here.")
    ] = 0,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask one question after the other.")] = False,
) -> None:
    """Turn questions into SQL: one, a file of them, or interactively."""
    from t2s.cli.infer import infer_verb

    infer_verb(
        load_settings(config, overrides),
        adapter_path,
        question,
        schema,
        database,
        table,
        examples,
        input,
        output,
        interactive,
        workers,
    )


@family.command()
def serve(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    port: Annotated[int | None, typer.Option(help="HTTP port.")] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the one that runs, once its requests are answered.")
    ] = False,
    config_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only write a file for Ray's own `serve deploy`.")
    ] = None,
) -> None:
    """Serve the champion over HTTP (Ray Serve) until Ctrl-C."""
    from t2s.cli.serve import serve_verb

    serve_verb(load_settings(config, overrides, {"serve.port": port}), stop, config_out)


@family.command()
def ask(
    question: Annotated[str, typer.Argument(help="In words.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    db: Annotated[str | None, typer.Option(help="A database that the endpoint has attached.")] = None,
    schema: Annotated[str | None, typer.Option(help='"TABLE: t ( id (real), name (text) )", instead.')] = None,
    table: Annotated[str | None, typer.Option(help="One table of the database.")] = None,
    url: Annotated[str | None, typer.Option(help="The endpoint; serve.host and serve.port if absent.")] = None,
    execute: Annotated[bool, typer.Option(help="Run the SQL there and show its rows.")] = True,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one attempt may take.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Ask a running endpoint; it is asked again while it is full, restarting or away. Token: T2S_SERVE_TOKEN."""
    from t2s.cli.ask import ask_verb

    resolved = load_settings(config, overrides)
    raise typer.Exit(ask_verb(resolved, question, db, schema, table, url, execute, timeout, as_json))
