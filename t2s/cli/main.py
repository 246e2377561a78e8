"""The ``t2s`` command. Arguments and configuration are read first; torch and Ray are imported by what runs.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 data, 4 environment, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from t2s import __version__
from t2s.cli.bench_serve import bench_app
from t2s.cli.bundle import bundle_app
from t2s.cli.cluster import cluster_app
from t2s.cli.console import err
from t2s.cli.data import data_app
from t2s.cli.jobs import jobs_app
from t2s.cli.plain import plain
from t2s.errors import EXIT_INTERRUPTED, EXIT_OK, ConfigError, T2SError
from t2s.masking import mask

if TYPE_CHECKING:
    from t2s.config import Config

app = typer.Typer(
    name="t2s",
    help="Fine-tune a language model to turn questions into SQL over your tables, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
app.add_typer(bundle_app, name="bundle")
app.add_typer(cluster_app, name="cluster")
app.add_typer(jobs_app, name="jobs")
config_app = typer.Typer(help="The configuration.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
track_app = typer.Typer(help="The record of runs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(track_app, name="track")

Configs = Annotated[list[Path], typer.Option("--config", "-c", help="A YAML file; may be repeated, later ones win.")]
Overrides = Annotated[list[str], typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings that win over files.")]
AdapterPath = Annotated[
    str,
    typer.Option(help="An adapter's directory, `champion`, a version number, or `none` for the bare base."),
]
Promote = Annotated[bool, typer.Option("--promote", help="Then do what `t2s promote` does with the adapter.")]


def main() -> None:
    """The console script."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; an expected failure becomes one message on standard error."""
    _mask_what_is_said()
    try:
        code = app(arguments, standalone_mode=False)
    except T2SError as error:
        err.print(f"error: {plain(mask(str(error)))}", style="red", markup=False)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return EXIT_INTERRUPTED
    except typer.Exit as stop:
        return int(stop.exit_code)
    except Exception as error:
        usage = _usage_error(error)
        if usage is None:
            raise
        err.print(f"error: {plain(mask(usage))}", style="red", markup=False)
        return 2
    return code if isinstance(code, int) else EXIT_OK


class _Masked(logging.Formatter):
    """Log lines, and the tracebacks in them, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _mask_what_is_said() -> None:
    """Warnings go to standard error; neither they nor the traceback of a bug of ours hold secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Masked("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.excepthook = _print_traceback


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(mask("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def _usage_error(error: Exception) -> str | None:
    """The message of a wrong option or argument (click's own exception, which typer bundles), else None."""
    formatter = getattr(error, "format_message", None)
    return formatter() if formatter and getattr(error, "exit_code", None) == 2 else None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"t2s {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    name: Annotated[str | None, typer.Option(help="Name of the run's directory; it must not exist.")] = None,
    max_train_samples: Annotated[int | None, typer.Option(help="Train on this many examples.")] = None,
    max_val_samples: Annotated[int | None, typer.Option(help="Validate on this many examples.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the examples.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a worker takes in one forward pass.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this run: its directory, its name, or `last`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; start nothing.")] = False,
    promote: Promote = False,
) -> None:
    """Fine-tune an adapter (Ray Train, TRL, QLoRA)."""
    from t2s.cli.verbs import resume_verb, train_verb

    flags: dict[str, object] = {
        "training.max_train_samples": max_train_samples,
        "training.max_val_samples": max_val_samples,
        "training.epochs": epochs,
        "training.learning_rate": lr,
        "training.batch_size": batch_size,
    }
    if dry_run:
        from t2s.cli.dry_run import dry_run_verb

        dry_run_verb(_load(config, overrides, flags))
        return
    if resume is not None:
        run_dir = resume_verb(resume, config, [*overrides, *_given(flags)], name)
    else:
        run_dir = train_verb(_load(config, overrides, flags), name)
    if promote:
        _promote_run(run_dir)


@app.command()
def search(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    name: Annotated[str | None, typer.Option(help="Name of the search's directory; it must not exist.")] = None,
    trials: Annotated[int | None, typer.Option(help="Settings to try.")] = None,
    budget: Annotated[str | None, typer.Option(help="End after this time: 90s, 30m, 2h.")] = None,
    examples: Annotated[int | None, typer.Option(help="End after training this many examples in all.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this search: its directory, its name, or `last`.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Only write this search's report.html anew.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    promote: Promote = False,
) -> None:
    """Search for a better setting: many adapters side by side on one base (Ray Tune, Optuna, ASHA)."""
    from t2s.cli.search import parse_budget, report_verb, resume_search_verb, search_verb

    flags: dict[str, object] = {
        "search.num_trials": trials,
        "search.time_budget_s": parse_budget(budget) if budget is not None else None,
        "search.max_examples": examples,
    }
    if promote and as_json:
        raise ConfigError("--promote and --json do not go together: t2s promote judges the winner afterwards")
    if report is not None:
        report_verb(report)
        return
    if resume is not None:
        run_dir = resume_search_verb(resume, config, [*overrides, *_given(flags)], name, as_json)
    else:
        run_dir = search_verb(_load(config, overrides, flags), name, as_json)
    if promote:
        _promote_run(run_dir)


@app.command()
def evaluate(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    adapter_path: AdapterPath = "champion",
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Ask this many questions, drawn with the seed.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    base: Annotated[bool, typer.Option(help="Measure the bare base on the same questions too.")] = True,
    name: Annotated[str | None, typer.Option(help="Name of the evaluation's directory.")] = None,
) -> None:
    """Score base and adapter: execution and logical-form accuracy by category."""
    from t2s.cli.verbs import evaluate_verb

    evaluate_verb(_load(config, overrides), adapter_path, split, max_samples, base, name)


@app.command()
def pipeline(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="Of the pipeline; one of this name that exists is gone on with.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this pipeline: its directory, its name, or `last`.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Do this stage and those after it again.")
    ] = None,
    no_search: Annotated[bool, typer.Option("--no-search", help="Train the configured setting.")] = False,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="End with the gate.")] = False,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Evaluate on this many test questions, drawn with the seed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Search, train, evaluate, promote, deploy as one run; the same command goes on with what is not done."""
    from t2s.cli.pipeline import pipeline_verb
    from t2s.pipeline.state import Flags

    flags = Flags(not no_search, not no_deploy, max_samples)
    raise typer.Exit(pipeline_verb(config, overrides, name, resume, start_from, flags, as_json))


@app.command()
def promote(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[VERSION] [KEY.PATH=VALUE]...",
            help="A version number, `challenger` (the newest, the default), or the directory of a run.",
        ),
    ] = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    evaluation: Annotated[Path | None, typer.Option(help="Judge by this evaluation instead of a new one.")] = None,
    min_gain: Annotated[float, typer.Option(help="Points of accuracy that it must gain.")] = 0.0,
    max_p: Annotated[float, typer.Option(help="McNemar's exact p that it must not exceed.")] = 0.05,
    split: Annotated[str, typer.Option(help="Questions of a new evaluation: train, val or test.")] = "test",
    max_samples: Annotated[int | None, typer.Option(min=1, help="Ask this many, drawn with the seed.")] = None,
    force: Annotated[str | None, typer.Option(metavar="WHY", help="Promote without a test, for this reason.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Make the champion before this one champion.")] = False,
) -> None:
    """Make a version the champion, if it is better than the champion on the same questions."""
    from t2s.cli.promote import promote_verb, roll_back_verb, split_words
    from t2s.gate import Gate

    version, overrides = split_words(words)
    gate = Gate(max_p, min_gain)
    if rollback:
        raise typer.Exit(roll_back_verb(_load(config, overrides), version, evaluation, force))
    raise typer.Exit(promote_verb(_load(config, overrides), version, evaluation, gate, split, max_samples, force))


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSONL, a line a question: query, sql or error.")],
    data: Annotated[Path, typer.Option(help="WikiSQL's layout: a directory or an archive.")],
    split: Annotated[str, typer.Option(help="dev, test, or another SPLIT.jsonl of it.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write a line a question here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report, one self-contained page, here.")] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Conditions must come in the gold's order.")] = False,
    cache_dir: Annotated[Path, typer.Option(help="Where an archive is unpacked.")] = Path("runs/cache"),
) -> None:
    """Score a file of predictions: official EX and LF, repaired EX, by category."""
    from t2s.cli.score import score_verb

    score_verb(predictions, data, split, json_file, html, ordered, cache_dir)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A file of t2s score --json, or RUN[:base|:tuned].")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another over the same questions.")],
    metric: Annotated[str | None, typer.Option(help="ex, lf or repaired_ex; all if absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Compare two scored files: difference with interval, McNemar's exact test."""
    from t2s.cli.score import compare_verb

    compare_verb(first, second, metric, as_json)


@app.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A directory, `champion`, or a version number.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The merged model's directory; it must not exist.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    dtype: Annotated[str, typer.Option(help="Of the merged weights: fp32, bf16 or fp16.")] = "fp32",
    check: Annotated[int, typer.Option(min=0, help="Validation questions to measure the change on; 0: none.")] = 32,
) -> None:
    """Write base and adapter as one model, and measure what that changed."""
    from t2s.cli.merge import merge_verb

    merge_verb(_load(config, overrides), adapter, out, dtype, check)


@app.command()
def export(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A directory, `champion`, or a version number.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The directory to write; it must not exist.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    evaluation: Annotated[Path | None, typer.Option(help="Its scores: a directory of t2s evaluate.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", "--license", help="If the base does not say.")] = None,
) -> None:
    """Copy an adapter with a model card, to be given away."""
    from t2s.cli.export import export_verb

    export_verb(_load(config, overrides), adapter, out, evaluation, licence)


@app.command()
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
        _load(config, overrides),
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


@app.command()
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

    serve_verb(_load(config, overrides, {"serve.port": port}), stop, config_out)


@app.command()
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

    resolved = _load(config, overrides)
    raise typer.Exit(ask_verb(resolved, question, db, schema, table, url, execute, timeout, as_json))


@app.command()
def ui(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    port: Annotated[int, typer.Option(help="HTTP port.")] = 5000,
) -> None:
    """Open MLflow's pages over the recorded runs until Ctrl-C."""
    from t2s.cli.ui import ui_command

    ui_command(_load(config, overrides), port)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def submit(
    context: typer.Context,
    verb: Annotated[str, typer.Argument(help="train, search, evaluate, pipeline or serve.")],
    address: Annotated[str | None, typer.Option(help="The cluster's dashboard, http://HOST:8265.")] = None,
    working_dir: Annotated[Path, typer.Option(help="The directory that is uploaded.")] = Path(),
    wait: Annotated[bool, typer.Option(help="Follow the job's log and return its exit code.")] = True,
    name: Annotated[
        str | None, typer.Option("--id", help="Of the job and its run; the same command goes on with both.")
    ] = None,
    cpus: Annotated[float | None, typer.Option(min=0, help="CPUs that the command itself takes.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs that the command itself takes.")] = None,
    memory: Annotated[float | None, typer.Option(min=0, help="GB of memory that the command itself takes.")] = None,
    pip: Annotated[list[str], typer.Option(help="A package that Ray installs for the job; may be repeated.")] = [],  # noqa: B006
    image: Annotated[str | None, typer.Option(help="A container image with t2s, instead of the upload.")] = None,
) -> None:
    """Run a verb as a job on a Ray cluster: t2s submit train --id nightly -- -c FILE key=value."""
    from t2s.cli.submit import Job
    from t2s.cli.submit import submit as submit_job

    job = Job(verb, context.args, working_dir, name, cpus, gpus, memory, pip, image)
    raise typer.Exit(submit_job(job, address, wait))


@app.command()
def doctor(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Check this machine against a configuration: pass, warn or fail, each with its cure."""
    from t2s.cli.doctor import doctor_verb

    raise typer.Exit(doctor_verb(_load(config, overrides), as_json))


@app.command()
def quickstart(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """The whole path, small: search, train, evaluate, register, serve, three questions over HTTP."""
    from t2s.cli.quickstart import quickstart_verb

    quickstart_verb(config, overrides)


@config_app.command("show")
def config_show(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """Print the resolved configuration as YAML, without passwords."""
    from t2s.config import dump
    from t2s.track.files import without_secrets

    typer.echo(dump(without_secrets(_load(config, overrides))), nl=False)


@config_app.command("docs")
def config_docs() -> None:
    """Print the reference of all settings as Markdown (docs/configuration.md)."""
    from t2s.config.docs import reference

    typer.echo(reference(), nl=False)


@track_app.command("replay")
def track_replay(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """Send MLflow what it missed of a run; twice adds nothing."""
    from t2s.track.replay import replay

    own = [run_dir / "config.yaml"] if not config and (run_dir / "config.yaml").is_file() else config
    typer.echo(f"{replay(run_dir, _load(own, overrides))} values sent")


def _promote_run(run_dir: Path) -> None:
    from t2s.cli.promote import promote_run

    raise typer.Exit(promote_run(run_dir))


def _load(files: list[Path], overrides: list[str], flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a command; its flags win over everything else."""
    from t2s.config import load

    return load(files, [*overrides, *_given(flags or {})])


def _given(flags: Mapping[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in flags.items() if value is not None]
