"""``t2s quickstart``: the whole path, small, on this machine, with nothing to start beforehand.

search → train → evaluate → register → serve → ask. Every number it prints is measured in the run. The questions of the
evaluation, and the three that are asked over HTTP, are over tables that the training never saw.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2s.cli.console import meter, next_steps, out, say, table
from t2s.cli.plain import plain
from t2s.cli.verbs import show_evaluation
from t2s.config import Config, load
from t2s.data.core import Example, TableRef
from t2s.errors import ConfigError, SetupError
from t2s.runtime import pin_paths, ray_session

WITH_TABLES = ("synthetic", "wikisql")
"""Pipelines whose test tables can be put into a database and asked about."""
NUM_QUESTIONS = 96
"""Test questions that base and adapter answer."""

STAGES = {"search": 170.0, "train": 250.0, "evaluate": 110.0, "register": 10.0, "serve": 40.0}
"""Seconds that each stage took on 2 cores; they only say how long is left, scaled by what was seen so far."""


@dataclass
class Clock:
    """Says which stage begins and how long the rest will take."""

    started: float = field(default_factory=time.monotonic)
    expected_so_far: float = 0.0
    number: int = 0

    def stage(self, name: str, what: str) -> None:
        """Announce the next stage."""
        elapsed = time.monotonic() - self.started
        speed = elapsed / self.expected_so_far if self.expected_so_far else 1.0
        left = speed * (sum(STAGES.values()) - self.expected_so_far)
        self.expected_so_far += STAGES[name]
        self.number += 1
        say(f"\n[{self.number}/{len(STAGES)}] {what} ({elapsed / 60:.1f} min so far, about {left / 60:.0f} min left)")

    def minutes(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self.started) / 60


def quickstart_verb(files: Sequence[Path], overrides: Sequence[str]) -> None:
    """Run the path and end with the table, the answers and the next commands."""
    from t2s.serve.run import check_access, check_port

    config = pin_paths(load(list(files) or [_default_config()], overrides))
    if config.data.pipeline not in WITH_TABLES:
        raise ConfigError(
            f"quickstart: data.pipeline={config.data.pipeline} has no tables to serve ({' and '.join(WITH_TABLES)} "
            "have): for your own data run t2s pipeline"
        )
    check_access(config)
    check_port(config.serve.host, config.serve.port)
    clock = Clock()
    with ray_session(config):
        config = _search(config, clock)
        run_dir, run_id, adapter = _train(config, clock)
        found, examples = _evaluate(config, clock, run_dir, run_id, adapter)
        version = _register(config, clock, run_dir, run_id)
        database, names = _export_tables(examples, run_dir / "tables.db")
        answers = _serve_and_ask(config, clock, examples, database, names)
    _show(found, answers, version)
    say(f"\ndone in {clock.minutes():.1f} minutes; everything is in {config.output_dir}")
    _next_commands(config, files, overrides, database)


def _default_config() -> Path:
    """``configs/quickstart.yaml`` of the checkout, or the copy inside an installed package."""
    here = Path(__file__).resolve()
    for folder in (here.parents[2] / "configs", here.parents[1] / "configs"):
        if (folder / "quickstart.yaml").is_file():
            return folder / "quickstart.yaml"
    raise SetupError("configs/quickstart.yaml is missing from this installation: name a file with -c")


def _search(config: Config, clock: Clock) -> Config:
    from t2s.cli.search import show_search, trial_board
    from t2s.search.run import search

    clock.stage("search", "search: rank, alpha and learning rate (Ray Tune, Optuna, ASHA)")
    with trial_board(config) as board:
        result = search(config, None, say, board.update)
    show_search(result)
    return result.config


def _train(config: Config, clock: Clock) -> tuple[Path, str | None, Path]:
    from t2s.train.launch import train

    clock.stage("train", "training the best setting (Ray Train, TRL, QLoRA)")
    with meter("training") as progress:
        result = train(config, say=say, on_metrics=progress.metrics)
    say(f"eval loss {result.metrics['eval_loss']:.4f} after {result.metrics['wall_s']:.0f} s")
    return result.run_dir, result.run_id, result.adapter


def _evaluate(
    config: Config, clock: Clock, run_dir: Path, run_id: str | None, adapter: Path
) -> tuple[Any, list[Example]]:
    from t2s.evaluate.run import choose_examples, evaluate, write_evaluation
    from t2s.evaluate.tracking import overall_scores
    from t2s.track.runs import Tracker

    clock.stage("evaluate", "base and adapter answer the same questions over unseen tables")
    examples, about = choose_examples(config, "test", NUM_QUESTIONS)
    with meter("answering") as progress:
        found = evaluate(config, {"base": None, "tuned": adapter}, examples, about, progress.update)
    write_evaluation(found, run_dir)
    tracker = Tracker(config)
    tracker.log_metrics(run_id, overall_scores(found.rows))
    tracker.log_artifact(run_id, run_dir / "evaluation.json")
    show_evaluation(found)
    return found, examples


def _register(config: Config, clock: Clock, run_dir: Path, run_id: str | None) -> str:
    from t2s.registry import promote, register

    clock.stage("register", "registering the adapter (MLflow)")
    version = register(config, run_dir, run_id)
    decision = promote(config, version.number, run_dir)
    say(f"version {version.number}: {decision.reason}")
    return f"version {version.number} {'is the champion' if decision.promoted else 'was not promoted'}"


def _export_tables(examples: Sequence[Example], to: Path) -> tuple[Path, dict[str, str]]:
    """A SQLite file of the test tables under their real names; returns it and table id → name."""
    from t2s.data.export import export_sqlite

    sources = [example.source for example in examples if isinstance(example.source, TableRef)]
    ids = list(dict.fromkeys(source.table_id for source in sources))
    root, split = sources[0].database.parent, sources[0].database.stem
    return to, dict(zip(ids, export_sqlite(root, split, to, ids), strict=True))


def _serve_and_ask(
    config: Config, clock: Clock, examples: Sequence[Example], database: Path, names: dict[str, str]
) -> list[tuple[str, dict[str, Any]]]:
    """Serve the champion and ask the first test question of each category."""
    from t2s.evaluate.categories import category
    from t2s.serve.client import ask
    from t2s.serve.run import start, stop

    clock.stage("serve", "serving the champion (Ray Serve) and asking it over HTTP")
    serving = config.serve.model_copy(update={"databases": {"quickstart": database}, "adapter": "champion"})
    url = start(config.model_copy(update={"serve": serving}))
    try:
        by_category = {category(e.logical_form): e for e in reversed(examples) if e.logical_form}
        answers = []
        for example in by_category.values():
            assert isinstance(example.source, TableRef)
            name = names[example.source.table_id]
            answers.append((example.question, ask(url, example.question, database="quickstart", table=name)))
        return answers
    finally:
        stop(leave_serve=True)  # Ray ends next, and Serve with it


def _show(found: Any, answers: Sequence[tuple[str, dict[str, Any]]], version: str) -> None:
    say("\nasked over HTTP, answered by the champion:")
    for question, answer in answers:
        out.print(plain(f"\n{question}\n  {answer['sql']}"), markup=False)
        if answer["verdict"] != "ok":
            out.print(plain(f"  {answer['verdict']}: {answer['detail']}"), markup=False)
        elif answer["rows"] is not None:
            table(f"{len(answer['rows'])} rows", answer["columns"], [[str(c) for c in r] for r in answer["rows"][:5]])
    overall = found.rows[-1]
    say(f"\n{version}")
    if overall["ex"]["change"] is not None:
        out.print(
            f"\nexecution accuracy on unseen tables: {100 * overall['ex']['base']['accuracy']:.1f}% before, "
            f"{100 * overall['ex']['tuned']['accuracy']:.1f}% after, {100 * overall['ex']['change']:+.1f} points"
        )


def _next_commands(config: Config, files: Sequence[Path], overrides: Sequence[str], database: Path) -> None:
    given = [word for file in files for word in ("-c", str(file))] or ["-c", "configs/quickstart.yaml"]
    same = shlex.join([*given, *overrides])
    shown = database.relative_to(Path.cwd()) if database.is_relative_to(Path.cwd()) else database
    next_steps(
        f"t2s serve {same} serve.databases.quickstart={shown}    # http://127.0.0.1:{config.serve.port}/",
        f"t2s infer {same} --interactive --database {shown} --table NAME",
        f"t2s ui {same}    # MLflow: every run, trial and version",
        "t2s data fetch && t2s train -c configs/smollm2-135m.yaml    # for real: WikiSQL",
    )
