"""``t2s cluster up | status | mend | down``: Ray on several nodes of this one machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.console import next_steps, out, say, short, table
from t2s.cluster.state import DEFAULT, state_option
from t2s.errors import EXIT_FAILED, EXIT_OK

cluster_app = typer.Typer(
    help="A Ray cluster on this machine, on loopback, with a token.", no_args_is_help=True, rich_markup_mode=None
)

State = Annotated[Path, typer.Option(help="The directory of its token, logs and record.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@cluster_app.command()
def up(
    workers: Annotated[int, typer.Option(help="Worker nodes beside the head.")] = 1,
    cpus: Annotated[int | None, typer.Option(help="CPUs that each node offers; all by the number of nodes.")] = None,
    dashboard_port: Annotated[int, typer.Option(help="Of the dashboard, which takes jobs.")] = 8265,
    state: State = DEFAULT,
) -> None:
    """Start a head and worker nodes, and print what to export."""
    from t2s.cluster import local
    from t2s.cluster.nodes import client_environment

    cluster = local.up(state, workers, cpus, dashboard_port, say)
    say(f"{len(cluster.names)} nodes of {cluster.cpus} CPUs; dashboard {cluster.url}")
    for name, value in client_environment(cluster).items():
        out.print(f"export {name}={shlex.quote(value)}", markup=False)
    own = state_option(state)
    next_steps(
        "t2s submit train -- -c configs/smollm2-135m.yaml    # as a job",
        f"t2s train -c configs/smollm2-135m.yaml ray.address={cluster.address}    # or from here",
        f"t2s cluster status{own}",
        f"t2s cluster down{own}",
    )


@cluster_app.command()
def status(state: State = DEFAULT, as_json: AsJson = False) -> None:
    """Which nodes are up; exit code 1 if one is not."""
    from t2s.cluster import local

    found = local.status(state)
    cluster = found.cluster
    if as_json:
        nodes = [{"name": node.name, "state": "up" if node.is_up else "dead", "pid": node.pid} for node in found.nodes]
        about = {"state": str(cluster.state), "url": cluster.url, "address": cluster.address, "cpus": cluster.cpus}
        token = {"token_path": str(cluster.token_file), "alive": found.alive, "nodes": nodes}
        out.print(json.dumps(about | token), markup=False)
    else:
        heads = ("node", "state", "pid of its raylet")
        rows = [(node.name, "up" if node.is_up else "dead", str(node.pid or "–")) for node in found.nodes]
        table(f"cluster in {short(cluster.state)}, dashboard {cluster.url}", heads, rows)
        say("the dashboard does not answer" if found.alive is None else f"Ray counts {found.alive} nodes as alive")
        if not found.is_whole:
            next_steps(
                f"t2s cluster mend{state_option(state)}    # starts dead worker nodes again",
                f"t2s cluster down{state_option(state)}    # ends what is left",
            )
    raise typer.Exit(EXIT_OK if found.is_whole else EXIT_FAILED)


@cluster_app.command()
def mend(state: State = DEFAULT) -> None:
    """Start worker nodes again that died."""
    from t2s.cluster import local

    names = local.mend(state, say)
    out.print(f"started {', '.join(names)}" if names else "nothing to mend: all nodes are up", markup=False)


@cluster_app.command()
def down(state: State = DEFAULT) -> None:
    """End what `up` started, and nothing else."""
    from t2s.cluster import local

    count = local.down(state)
    text = f"no cluster in {state}" if count is None else f"{count} processes ended"
    out.print(text, markup=False)
