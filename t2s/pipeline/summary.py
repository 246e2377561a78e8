"""The page of one pipeline: ``summary.html``, one file that opens offline, from the record and what the stages left.

Nothing in it is trusted: names, settings and reasons come from files and from a registry that others write to.
Everything passes jinja2's autoescape and :func:`~t2s.evaluate.text.visible`; the page has no script, and its policy
forbids to load anything. What a stage left and cannot be read any more is told in its place.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from t2s.config import Config
from t2s.errors import T2SError
from t2s.evaluate.run import RESULTS
from t2s.evaluate.table import METRIC_NAMES, percent
from t2s.evaluate.text import visible
from t2s.pipeline.curve import draw_curve
from t2s.pipeline.state import Stage, State, write_synced
from t2s.search.record import SUMMARY, read_trials
from t2s.search.show import (
    accuracy_text,
    cells,
    duration,
    heads,
    number_text,
    points,
    setting_text,
    varied_names,
)
from t2s.search.show import percent as share
from t2s.track.journal import FILE_NAME, read_journal
from t2s.train.record import read_json

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "summary.html"
TEMPLATE = Path(__file__).with_name("summary.html.j2")
PAGES = {"search": "report.html", "evaluate": "report.html"}
"""The stages' own pages."""


def sentence(stage: Stage) -> str:
    """What came out of a stage, in a line."""
    if stage.state in ("pending", "running"):
        return "not finished" if stage.state == "running" else "not begun"
    if stage.state == "failed":
        return stage.error
    return _SENTENCES[stage.name](stage.result) if stage.state == "done" else str(stage.result["reason"])


def _of_search(result: Mapping[str, Any]) -> str:
    measured = f"loss {number_text(result['loss'], '.4f')}" + (
        f", EX {share(result['ex'])}" if result["ex"] is not None else ""
    )
    return f"trial {result['best']} of {result['trials']} is the best ({measured}): {setting_text(result['setting'])}"


def _of_training(result: Mapping[str, Any]) -> str:
    losses = [
        f"{name.replace('_', ' ')} {value:.4f}" for name, value in result["metrics"].items() if name.endswith("loss")
    ]
    return f"{', '.join(losses) or 'trained'}; {result['adapter']}"


def _of_evaluation(result: Mapping[str, Any]) -> str:
    scores = result["scores"]
    metric = "ex" if "ex_tuned" in scores else "lf"
    sides = [(side, scores.get(f"{metric}_{side}")) for side in ("base", "tuned", "champion")]
    told = ", ".join(f"{side} {share(score)}" for side, score in sides if score is not None)
    return f"{METRIC_NAMES[metric]} on {result['questions']} questions: {told}"


def _of_promotion(result: Mapping[str, Any]) -> str:
    if result["is_champion"]:
        decided = "is the champion"
    else:
        kept = f"version {result['champion']} stays the champion" if result["champion"] else "there is no champion"
        decided = f"is refused, {kept}"
    return f"version {result['version']} {decided}: {result['reason']}"


def _of_deployment(result: Mapping[str, Any]) -> str:
    how = "is served as before" if result["kept"] else "answers"
    return f"champion version {result['version']} {how} at {result['url']}"


_SENTENCES = {
    "search": _of_search,
    "train": _of_training,
    "evaluate": _of_evaluation,
    "promote": _of_promotion,
    "deploy": _of_deployment,
}


def write_summary(state: State, config: Config) -> Path:
    """Write the page beside the record; a :class:`SetupError` if there is no room."""
    path = state.run_dir / PAGE
    write_synced(path, render_summary(state, config))
    return path


def render_summary(state: State, config: Config) -> str:
    """The page as text."""
    return (
        _environment()
        .get_template(TEMPLATE.name)
        .render(
            name=state.name,
            facts=_facts(state, config),
            cards=_cards(state),
            stages=[_stage(stage) for stage in state.stages],
            search=_told(lambda: _search(state)),
            curve=_told(lambda: _curve(state)),
            scores=_told(lambda: _scores(state)),
            gate=state["promote"].result if state["promote"].state == "done" else None,
            deploy=state["deploy"],
            commands=commands(state),
        )
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _told(read: Any) -> Any:
    """What ``read`` gives; of files that are gone or damaged, the sentence that says so."""
    try:
        return read()
    except T2SError as error:
        return str(error)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read any more: {type(error).__name__}: {error}"


def _facts(state: State, config: Config) -> dict[str, str]:
    seconds = sum(stage.seconds or 0.0 for stage in state.stages)
    return {
        "base": config.model.name,
        "data": config.data.pipeline,
        "began": _clock(state.created),
        "stages took": duration(seconds),
        "seed": str(config.seed),
        "directory": str(state.run_dir),
    }


def _cards(state: State) -> list[tuple[str, str, str]]:
    """(title, big figure, what it is) of what a reader looks for first."""
    found = []
    evaluated, judged = state["evaluate"].result, state["promote"].result
    if evaluated:
        scores = evaluated["scores"]
        metric = "ex" if "ex_tuned" in scores else "lf"
        base, tuned = scores.get(f"{metric}_base"), scores.get(f"{metric}_tuned")
        name = "execution accuracy" if metric == "ex" else "logical-form accuracy"
        found.append((name, share(tuned), f"the base: {share(base)} · {evaluated['questions']} questions"))
    if judged:
        big = f"version {judged['version']}"
        found.append(("the gate", big, "is the champion" if judged["is_champion"] else "was refused"))
    deployed = state["deploy"]
    if deployed.state == "done":
        found.append(("the endpoint", f"version {deployed.result['version']}", deployed.result["url"]))
    return found


def _stage(stage: Stage) -> dict[str, Any]:
    page = f"../{quote(stage.place)}/{PAGES[stage.name]}" if stage.name in PAGES and stage.state == "done" else ""
    sittings = f" in {stage.sittings} sittings" if stage.sittings > 1 else ""
    return {
        "name": stage.name,
        "state": stage.state,
        "began": _clock(stage.began),
        "took": duration(stage.seconds) + sittings if stage.seconds is not None else "–",
        "told": sentence(stage),
        "page": page,
        "place": stage.place,
    }


def _search(state: State) -> dict[str, Any] | None:
    """The table of trials, and the finalists."""
    place = state.place("search")
    if place is None or state["search"].state != "done":
        return None
    trials, told = read_trials(place), read_json(place / SUMMARY)
    names, rungs = varied_names(trials), max((trial.rung for trial in trials), default=1)
    best = state["search"].result["best"]
    rows = [(cells(trial, names, rungs, trial.ended or trial.started), trial.number == best) for trial in trials]
    finalists = [
        (
            str(each["number"]),
            accuracy_text(each["accuracies"]),
            _change(each["against_default"]),
            f"{each['loss']:.4f}",
        )
        for each in told.get("finalists", [])
    ]
    return {"heads": heads(names), "rows": rows, "finalists": finalists}


def _change(against: Mapping[str, Any] | None) -> str:
    return f"{points(against)}, p = {against['p_value']:.3g}" if against else "–"


def _curve(state: State) -> Any:
    place = state.place("train")
    if place is None or not (place / FILE_NAME).is_file():
        return None
    return draw_curve(read_journal(place / FILE_NAME))


def _scores(state: State) -> dict[str, Any] | None:
    """Base against tuned by category, each with its interval; and the paired comparison."""
    place = state.place("evaluate")
    if place is None or state["evaluate"].state != "done":
        return None
    results = json.loads((place / RESULTS).read_text("utf-8"))
    overall = results["table"][-1]
    metrics = [metric for metric in ("ex", "lf") if overall[metric]["tuned"] is not None]
    rows = [
        {
            "name": row["category"].replace("_", " "),
            "n": row["n"],
            "cells": [[_cell(row[metric][side]) for side in ("base", "tuned")] for metric in metrics],
        }
        for row in results["table"]
    ]
    return {
        "metrics": [METRIC_NAMES[metric] for metric in metrics],
        "rows": rows,
        "paired": results["comparison"].get(metrics[0], {}).get("overall") if metrics else None,
        "about": f"{results['data']['n']} questions of {results['data']['pipeline']} {results['data']['split']}",
    }


def _cell(value: dict[str, float] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    bounds = {key: round(100 * value[key], 2) for key in ("accuracy", "low", "high")}
    return bounds | {"text": percent(value, False), "interval": f"{bounds['low']:.1f}–{bounds['high']:.1f}"}


def commands(state: State) -> list[tuple[str, str]]:
    """(what it does, the command): the whole again under another name, and each stage by itself."""
    own = f"-c {_near(state.run_dir / 'config.yaml')}"
    flags = state.flags
    some = f" --max-samples {flags.max_samples}" if flags.max_samples else ""
    left_out = "".join(f" --no-{name}" for name in ("search", "deploy") if not getattr(flags, name))
    found = [("all of it, under another name", f"t2s pipeline {own} --name NAME{left_out}{some}")]
    best, search, train = "", state.place("search"), state.place("train")
    if search is not None:
        found.append(("the search", f"t2s search {own}"))
        best = f" -c {_near(search / 'best.yaml')}"
    found.append(("the training", f"t2s train {own}{best}"))
    if train is not None:
        found.append(("the evaluation", f"t2s evaluate {own} --adapter-path {_near(train / 'adapter')}{some}"))
    evaluated, judged = state.place("evaluate"), state["promote"].result
    if evaluated is not None and judged:
        found.append(("the gate", f"t2s promote {judged['version']} {own} --evaluation {_near(evaluated)}"))
    return [*found, ("the endpoint, until Ctrl-C", f"t2s serve {own} serve.adapter=champion")]


def _near(path: Path) -> str:
    near = os.path.relpath(path)
    return shlex.quote(near if len(near) < len(str(path)) else str(path))


def _clock(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "–"
