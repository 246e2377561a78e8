"""``t2s jobs list | status | logs | stop``: the jobs of a Ray cluster."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from t2s.cli.console import out, say, table
from t2s.cli.plain import plain_line
from t2s.errors import EXIT_OK
from t2s.masking import mask, mask_word

jobs_app = typer.Typer(help="The jobs of a Ray cluster.", no_args_is_help=True, rich_markup_mode=None)

Address = Annotated[
    str | None, typer.Option(help="The cluster's dashboard, http://HOST:8265; RAY_API_SERVER_ADDRESS if absent.")
]
Name = Annotated[str, typer.Argument(metavar="ID", help="As t2s submit printed it; the newest attempt of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@jobs_app.command("list")
def list_(address: Address = None, as_json: AsJson = False) -> None:
    """All jobs, the oldest first."""
    from t2s.cli.job_client import connect, list_jobs

    jobs = [_as_dict(job) for job in list_jobs(connect(address))]
    if as_json:
        out.print(json.dumps(jobs), markup=False)
    elif jobs:
        heads = ("id", "state", "exit", "began", "took", "command")
        table("jobs", heads, [_cells(job) for job in jobs])
    else:
        say("no jobs")


@jobs_app.command()
def status(name: Name, address: Address = None, as_json: AsJson = False) -> None:
    """One job, and how it ended."""
    from t2s.cli.job_client import connect, find_job

    _show(find_job(connect(address), name), as_json)


@jobs_app.command()
def logs(
    name: Name,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it ends, with its exit code.")] = False,
) -> None:
    """What a job has printed."""
    from t2s.cli.job_client import asking, connect, find_job
    from t2s.cli.job_client import follow as follow_job

    client = connect(address)
    job = find_job(client, name).submission_id
    if follow:
        raise typer.Exit(follow_job(client, job))
    with asking(client):
        typer.echo(client.get_job_logs(job), nl=False)


@jobs_app.command()
def stop(name: Name, address: Address = None, as_json: AsJson = False) -> None:
    """End a job as Ctrl-C would, and wait until it has; `t2s submit --id ID` goes on with it."""
    from t2s.cli.job_client import connect
    from t2s.cli.job_client import stop as stop_job

    _show(stop_job(connect(address), name), as_json)
    raise typer.Exit(EXIT_OK)


def _show(job: Any, as_json: bool) -> None:
    found = _as_dict(job)
    if as_json:
        out.print(json.dumps(found), markup=False)
        return
    for name, value in found.items():
        if value is not None:
            out.print(f"{name:<8} {_clock(value) if name in ('began', 'ended') else value}", markup=False)


def _as_dict(job: Any) -> dict[str, Any]:
    """What a person asks of a job; its environment may hold secrets and is left out. Others wrote what it says."""
    return {
        "id": job.submission_id,
        "verb": (job.metadata or {}).get("t2s"),
        "state": str(job.status),
        "exit": job.driver_exit_code,
        "began": job.start_time / 1000 if job.start_time else None,
        "ended": job.end_time / 1000 if job.end_time else None,
        "command": plain_line(" ".join(map(mask_word, job.entrypoint.split(" ")))),
        "message": plain_line(mask(" ".join((job.message or "").split()))[:500]) or None,
    }


def _cells(job: dict[str, Any]) -> tuple[str, ...]:
    began, ended = job["began"], job["ended"] or time.time()
    took = f"{ended - began:.0f} s" if began else "–"
    return (job["id"], job["state"], _text(job["exit"]), _clock(began), took, job["command"])


def _text(value: object) -> str:
    return "–" if value is None else str(value)


def _clock(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "–"
