"""``t2s bench serve``: put load on an OpenAI-compatible endpoint and print how it answered."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from t2s.cli.ask import endpoint_token
from t2s.cli.console import out, say, table
from t2s.cli.plain import plain_line
from t2s.errors import EXIT_FAILED, EXIT_OK, ConfigError

bench_app = typer.Typer(help="Measurements.", no_args_is_help=True, rich_markup_mode=None)
OPENAI_VARIABLE = "OPENAI_API_KEY"


@bench_app.callback()
def _bench() -> None:
    """Measurements."""


@bench_app.command("serve")
def bench_serve(
    url: Annotated[
        str, typer.Argument(help="The endpoint: http://HOST:PORT, or with the path above /chat/completions.")
    ],
    requests: Annotated[int, typer.Option(min=1, help="How many to send.")] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Callers, each of whom asks again once answered.")] = 8,
    rate: Annotated[float | None, typer.Option(help="Requests a second instead, whatever becomes of them.")] = None,
    model: Annotated[str, typer.Option(help="The model's name there.")] = "t2s",
    prompts: Annotated[
        Path | None, typer.Option(help="A .jsonl file: question and schema, or messages, a line; asked in turn.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a request has failed.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Ask an OpenAI-compatible endpoint often: p50, p95, p99, throughput, failed, shed. Token: T2S_SERVE_TOKEN or
    OPENAI_API_KEY. Exit code 1 if a request failed; one that was shed (429) did not.
    """
    from t2s.serve.bench import Load, completions_url, default_prompts, measure, read_prompts

    if rate is not None and rate <= 0:
        raise ConfigError(f"--rate {rate:g}: requests a second are above 0")
    completions_url(url)
    asked = read_prompts(prompts) if prompts is not None else default_prompts()
    token = endpoint_token(url) or os.environ.get(OPENAI_VARIABLE, "").strip()
    load = Load(url, model, asked, requests, concurrency, rate, timeout, token)
    how = f"open loop, {rate:g} requests/s" if rate is not None else f"closed loop, {concurrency} at once"
    say(f"{requests} requests to {url}, {how} …")
    summary = asyncio.run(measure(load)).summary()
    if as_json:
        out.print(json.dumps({"url": url, "model": model, "loop": how} | summary), markup=False)
    else:
        _show(summary, how)
    raise typer.Exit(EXIT_FAILED if summary["failed"] else EXIT_OK)


def _show(summary: dict[str, Any], how: str) -> None:
    counts = [[name, str(summary[name])] for name in ("requests", "answered", "shed", "failed")]
    speed = [["seconds", f"{summary['seconds']:.1f}"], ["answers/s", f"{summary['answers_per_s']:.2f}"]]
    if summary["tokens_per_s"]:
        speed.append(["tokens/s", f"{summary['tokens_per_s']:.0f}"])
    times = [
        [f"{kind} {name}, ms", f"{value:.1f}"]
        for kind in ("answered", "shed")
        for name, value in (summary[f"{kind}_ms"] or {}).items()
    ]
    table(how, ["", ""], [*counts, *speed, *times])
    for line, count in summary["failures"].items():
        say(f"failed {count} ×: {plain_line(line)}")
