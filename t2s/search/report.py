"""The page of one search: ``report.html``, one file that opens offline, from the study, the trials and ``search.json``.

Plotly's script is inlined once. Nothing else in the page is trusted: settings, layers' names and errors come from files
and from a user's function. They pass jinja2's autoescape and :func:`~t2s.evaluate.text.visible`, figures travel as
data, and the page's policy runs only the scripts that carry its own nonce and loads nothing.

Of ``search.json`` the page uses, where they are there: ``best`` (a trial's number), ``pareto`` (numbers), ``finalists``
(:class:`t2s.search.finalists.Finalist` as objects) and ``notes`` (sentences).
"""

from __future__ import annotations

import functools
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s.config import Config, load
from t2s.errors import ConfigError
from t2s.evaluate.text import visible
from t2s.search.plots import Figure, build_figures
from t2s.search.record import SUMMARY, Trial, cost_of, open_storage
from t2s.search.show import (
    accuracy_text,
    cells,
    duration,
    goal_texts,
    heads,
    number_text,
    percent,
    points,
    setting_text,
    varied_names,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = Path(__file__).with_name("report.html.j2")
REPORT = "report.html"


def write_report(search_dir: Path, trials: Sequence[Trial], study_path: Path) -> Path:
    """Write ``search_dir/report.html`` and return it; ``study_path`` is Optuna's SQLite file.

    Raises:
        ConfigError: the page cannot be written.
    """
    import optuna

    config = load([search_dir / "config.yaml"])
    summary = json.loads((search_dir / SUMMARY).read_text("utf-8")) if (search_dir / SUMMARY).is_file() else {}
    study = optuna.load_study(study_name=search_dir.name, storage=open_storage(study_path.parent))
    page = render_report(search_dir.name, config, trials, study.get_trials(deepcopy=False), summary)
    path = search_dir / REPORT
    try:
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}): make room, then --resume") from None
    return path


def render_report(
    name: str, config: Config, trials: Sequence[Trial], frozen: Sequence[Any], summary: Mapping[str, Any]
) -> str:
    """The page as text; ``frozen`` are Optuna's trials, ``summary`` is ``search.json``."""
    from plotly.offline import get_plotlyjs

    goals = goal_texts(config, trials)
    figures = build_figures(trials, frozen, goals, goals[0])
    names = varied_names(trials)
    return (
        _environment()
        .get_template(TEMPLATE.name)
        .render(
            name=name,
            facts=_facts(config, trials),
            cards=_cards(trials, summary),
            notes=summary.get("notes", []),
            finalists=[_finalist(each, trials) for each in summary.get("finalists", [])],
            goals=goals,
            pareto=_pareto(trials, summary.get("pareto", []), goals, frozen),
            heads=[*heads(names), "CPU s", "where"],
            rows=[_row(trial, names, config.search.rungs, summary.get("best")) for trial in trials],
            cost=_cost(trials),
            figures=[(number, figure, figure.json and _inert(figure)) for number, figure in enumerate(figures)],
            plotly=get_plotlyjs(),
            nonce=secrets.token_urlsafe(16),
        )
    )


@functools.cache
def _environment() -> Environment:
    """Every printed value has its control characters written out, then HTML's signs escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )


def _inert(figure: Figure) -> str:
    """A figure's JSON for the inside of a script element, which no text in it can leave."""
    assert figure.json is not None
    return figure.json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _facts(config: Config, trials: Sequence[Trial]) -> dict[str, str]:
    search = config.search
    states = [trial.state for trial in trials]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    begun = min((trial.started for trial in trials if trial.started), default=0.0)
    return {
        "base": config.model.name,
        "data": config.data.pipeline,
        "trials": f"{len(trials)} of {search.num_trials}: {told}" if trials else "none yet",
        "mode": search.mode,
        "ladder": f"{search.rungs} rungs of up to {search.max_train_samples // search.rungs} examples",
        "scheduler": search.scheduler,
        "sampler": search.sampler,
        "seed": str(config.seed),
        "began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun)) if begun else "–",
    }


def _cards(trials: Sequence[Trial], summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(title, big figure, what it is) of the winner, of the default beside it, and of the cost."""
    by_number = {trial.number: trial for trial in trials}
    cards = []
    for title, number in (("winner", summary.get("best")), ("the configured setting", 1)):
        if number in by_number:
            trial = by_number[number]
            big = percent(trial.ex) if trial.ex is not None else number_text(trial.loss, ".4f")
            what = (
                f"{'execution accuracy on the slice' if trial.ex is not None else 'validation loss'}, rung {trial.rung}"
            )
            cards.append((f"{title}: trial {number}", big, f"{what} · {setting_text(trial.setting)}"))
    cost = cost_of(trials)
    told = f"CPU time over all trials · {int(cost['examples']):,} examples trained"
    return [*cards, ("cost", duration(cost["cpu_s"]), told)]


def _finalist(finalist: Mapping[str, Any], trials: Sequence[Trial]) -> dict[str, str]:
    setting = next((setting_text(trial.setting) for trial in trials if trial.number == finalist["number"]), "")
    against, asked = finalist["against_default"], finalist["accuracies"]
    return {
        "trial": str(finalist["number"]),
        "setting": setting,
        "score": accuracy_text(asked),
        "questions": f"{asked[0]['eval_ex_n']:.0f}" if asked else "–",
        "loss": f"{finalist['loss']:.4f}",
        "change": f"{points(against)}, p = {against['p_value']:.3g}" if against else "–",
    }


def _pareto(
    trials: Sequence[Trial], front: Sequence[int], goals: Sequence[str], frozen: Sequence[Any]
) -> list[tuple[str, str, list[str]]]:
    """(trial, setting, values) of the finished trials that no other one beats in every objective."""
    values = {each.number + 1: each.values for each in frozen if each.values and len(each.values) == len(goals)}
    settings = {trial.number: setting_text(trial.setting) for trial in trials}
    found = [number for number in front if number in values and number in settings]
    return [(str(number), settings[number], [f"{value:.4g}" for value in values[number]]) for number in found]


def _row(trial: Trial, names: Sequence[str], rungs: int, best: object) -> dict[str, Any]:
    last = trial.last.time if trial.last else trial.started
    told = [*cells(trial, names, rungs, last), f"{trial.cpu_s:.1f}", trial.host or "–"]
    return {"cells": told, "is_best": trial.number == best, "state": trial.state}


def _cost(trials: Sequence[Trial]) -> str:
    cost = cost_of(trials)
    return (
        f"All trials together: {int(cost['examples']):,} examples, {cost['cpu_s']:.0f} CPU seconds, "
        f"{cost['wall_s']:.0f} seconds of the trials' own time."
    )
