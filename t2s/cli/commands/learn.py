"""``t2s train``, ``search``, ``pipeline`` and ``quickstart``: what makes an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from t2s.cli.options import Configs, Overrides, given, load_settings, refuse_together
from t2s.errors import ConfigError

Promote = Annotated[bool, typer.Option("--promote", help="Then do what `t2s promote` does with the adapter.")]


family = typer.Typer(rich_markup_mode=None)


@family.command()
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

        refuse_together("--dry-run", {"--resume": resume, "--promote": promote})
        dry_run_verb(load_settings(config, overrides, flags))
        return
    if resume is not None:
        run_dir = resume_verb(resume, config, [*overrides, *given(flags)], name)
    else:
        run_dir = train_verb(load_settings(config, overrides, flags), name)
    if promote:
        _promote_run(run_dir, config, overrides)


@family.command()
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
        refuse_together("--report", {"--resume": resume, "--promote": promote, "--json": as_json, "--name": name})
        report_verb(report)
        return
    if resume is not None:
        run_dir = resume_search_verb(resume, config, [*overrides, *given(flags)], name, as_json)
    else:
        run_dir = search_verb(load_settings(config, overrides, flags), name, as_json)
    if promote:
        _promote_run(run_dir, config, overrides)


@family.command()
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


@family.command()
def quickstart(
    overrides: Overrides = [],  # noqa: B006
    config: Configs = [],  # noqa: B006
) -> None:
    """The whole path, small: search, train, evaluate, register, serve, three questions over HTTP."""
    from t2s.cli.quickstart import quickstart_verb

    quickstart_verb(config, overrides)


def _promote_run(run_dir: Path, config: list[Path], overrides: list[str]) -> None:
    from t2s.cli.promote import promote_run

    raise typer.Exit(promote_run(run_dir, load_settings(config, overrides)))
