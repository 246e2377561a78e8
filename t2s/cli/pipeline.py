"""The body of ``t2s pipeline``: run it or go on with it, then what came out of each stage and what to type next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from t2s.cli import console
from t2s.cli.console import Meter, next_steps, out, say, short, table
from t2s.cli.search import TrialBoard, trial_board
from t2s.config import Config, load
from t2s.errors import ConfigError
from t2s.pipeline.state import Flags, State, find_pipeline
from t2s.runtime import pin_paths


class Terminal:
    """The screen of a command line."""

    def say(self, text: str) -> None:
        """One line."""
        say(text)

    def trials(self, config: Config) -> AbstractContextManager[TrialBoard]:
        """The trials while they run."""
        return trial_board(config)

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """How far something long has come."""
        with console.meter(title) as shown:
            yield shown


def pipeline_verb(
    files: Sequence[Path],
    overrides: Sequence[str],
    name: str | None,
    resume: str | None,
    start_from: str | None,
    flags: Flags,
    as_json: bool,
) -> int:
    """Run a pipeline or go on with one; ``flags`` of a resumed one only take away from what it began with."""
    from t2s.pipeline.run import run_pipeline

    _refuse_both(start_from, flags)
    if resume is None:
        config = load(files, overrides)
    else:
        run_dir = find_pipeline(resume, _output_dir(files, overrides))
        if name is not None and name != run_dir.name:
            raise ConfigError(f"--name {name}: --resume goes on with {run_dir.name}, which keeps its name")
        name, flags = run_dir.name, _resumed(State.read(run_dir).flags, flags, start_from)
        own = load(list(files) or [run_dir / "config.yaml"], overrides)
        config = own.model_copy(update={"output_dir": run_dir.parent})
    state = run_pipeline(pin_paths(config), name, flags, start_from, Terminal())
    _show(state, as_json)
    return state.exit_code


def _refuse_both(start_from: str | None, flags: Flags) -> None:
    for stage, asked in (("search", flags.search), ("deploy", flags.deploy)):
        if start_from == stage and not asked:
            raise ConfigError(f"--from {stage} and --no-{stage} do not go together: leave one of them out")


def _resumed(began: Flags, given: Flags, start_from: str | None) -> Flags:
    """What was asked for first, without what is now left out, and with the stage that is done from."""
    return replace(
        began,
        search=given.search and (began.search or start_from == "search"),
        deploy=given.deploy and (began.deploy or start_from == "deploy"),
        max_samples=given.max_samples if given.max_samples is not None else began.max_samples,
    )


def _output_dir(files: Sequence[Path], overrides: Sequence[str]) -> Path:
    return load(files, [each for each in overrides if each.startswith("output_dir=")]).output_dir


def _show(state: State, as_json: bool) -> None:
    from t2s.pipeline.summary import PAGE, sentence
    from t2s.search.show import duration

    page = state.run_dir / PAGE
    if as_json:
        told = state.to_dict() | {"run_dir": str(state.run_dir), "summary": str(page), "finished": state.is_finished}
        out.print(json.dumps(told), markup=False)
    else:
        took = [duration(stage.seconds) if stage.seconds is not None else "–" for stage in state.stages]
        rows = [[s.name, s.state, t, sentence(s)] for s, t in zip(state.stages, took, strict=True)]
        table(f"pipeline {state.name}", ("stage", "state", "took", "what came out"), rows)
        out.print(str(page), markup=False)
    own = f"-c {shlex.quote(short(state.run_dir / 'config.yaml'))}"
    next_steps(
        f"xdg-open {shlex.quote(short(page))}    # all of it on one page",
        *_about_the_endpoint(state, own),
        f"t2s ui {own}    # MLflow: the pipeline, and its runs below it",
    )


def _about_the_endpoint(state: State, own: str) -> list[str]:
    deployed = state["deploy"]
    if deployed.state == "done":
        question = shlex.quote("What is the highest salary?")
        schema = shlex.quote("TABLE: table ( id (real), name (text), salary (real) )")
        return [f"t2s ask {question} --schema {schema} --url {deployed.result['url']}", f"t2s serve --stop {own}"]
    if state["promote"].result.get("champion") is not None:
        return [f"t2s serve {own} serve.adapter=champion    # the champion, until Ctrl-C"]
    return []
