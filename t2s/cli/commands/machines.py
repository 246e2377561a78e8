"""``t2s submit``, ``doctor`` and ``ui``: clusters, this machine, and MLflow's pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import Configs, Overrides, load_settings

family = typer.Typer(rich_markup_mode=None)


@family.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
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


@family.command()
def doctor(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Check this machine against a configuration: pass, warn or fail, each with its cure."""
    from t2s.cli.doctor import doctor_verb

    raise typer.Exit(doctor_verb(load_settings(config, overrides), as_json))


@family.command()
def ui(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
    port: Annotated[int, typer.Option(help="HTTP port.")] = 5000,
) -> None:
    """Open MLflow's pages over the recorded runs until Ctrl-C."""
    from t2s.cli.ui import ui_command

    ui_command(load_settings(config, overrides), port)
