"""The figures of a search's report: Optuna's own, on a copy of the study, and the timeline of slots.

The copy is in memory, is numbered as trials are shown (from 1), and has every trial's setting as parameters, whatever
names the user's function drew them under. A figure that the trials cannot carry yet is a sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2s.search.ladder import PENALTY
from t2s.search.record import Trial
from t2s.search.space import Value

COLOURS = {"finished": "#2f6fde", "stopped": "#98a4b3", "failed": "#b3372f", "running": "#d9960f"}
"""By the state of a trial."""
FINISHED_FOR_IMPORTANCE = 4
"""Fewer finished trials say nothing about which part of the setting matters."""


@dataclass(frozen=True)
class Figure:
    """A figure for Plotly as JSON, or the sentence that stands in its place."""

    title: str
    about: str
    json: str | None
    instead: str = ""
    is_low: bool = False
    """Whether it has a height of its own."""


def build_figures(trials: Sequence[Trial], frozen: Sequence[Any], goals: Sequence[str], quality: str) -> list[Figure]:
    """All figures. ``frozen`` are Optuna's trials, ``goals`` what it minimises; ``quality`` says the first in words."""
    study = _copy(trials, frozen, len(goals))
    first: dict[str, Any] = {"target_name": quality}
    if len(goals) > 1:
        first["target"] = lambda trial: trial.values[0]
    finished = sum(trial.state == "finished" for trial in trials)
    none_yet = "" if finished else "No trial has finished."
    figures = [
        _optuna("History", f"{quality} of each trial that reached the last rung.", "plot_optimization_history", study,
                none_yet, **first),
        *_curves(trials),
        _optuna("Parallel coordinates", f"Each line is a finished trial; darker is a lower {quality}.",
                "plot_parallel_coordinate", study, none_yet, **first),
        _optuna("Importances", f"How much of the spread of the {quality} each part of the setting explains (fANOVA).",
                "plot_param_importances", study, _too_few(finished), **first),
        *([_optuna("Pareto front", "Finished trials; no other one beats the marked ones in every objective.",
                   "plot_pareto_front", study, none_yet, target_names=list(goals))] if len(goals) in (2, 3) else []),
        _timeline(trials),
    ]  # fmt: skip
    return figures


def _too_few(finished: int) -> str:
    if finished >= FINISHED_FOR_IMPORTANCE:
        return ""
    return f"{finished} of the {FINISHED_FOR_IMPORTANCE} finished trials that an estimate needs at least."


def lanes(trials: Sequence[Trial]) -> dict[int, tuple[str, int]]:
    """Where each trial ran: its host, and the lowest of the host's slots that was free when it started."""
    found: dict[int, tuple[str, int]] = {}
    busy_until: dict[str, list[float]] = {}
    for trial in sorted(trials, key=lambda each: each.started):
        slots = busy_until.setdefault(trial.host, [])
        free = next((at for at, until in enumerate(slots) if until <= trial.started), len(slots))
        slots[free:free + 1] = [_end(trial)]  # fmt: skip
        found[trial.number] = (trial.host, free + 1)
    return found


def _end(trial: Trial) -> float:
    """When it ended; of one that runs, its last measurement."""
    return trial.ended or (trial.last.time if trial.last else trial.started)


def _optuna(
    title: str, about: str, plot: str, study: Any, instead: str, layout: Mapping[str, Any] = {}, **options: Any
) -> Figure:
    import optuna

    if instead:
        return Figure(title, about, None, instead)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Optuna calls experimental, and single values without a spread
            figure = getattr(optuna.visualization, plot)(study, **options).update_layout(layout)
    except Exception as error:  # fault boundary: a figure must not cost the report; Optuna's raise for odd studies
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Figure(title, about, None, f"Optuna cannot draw this: {first}")
    return Figure(title, about, _json(figure))


def _curves(trials: Sequence[Trial]) -> Iterator[Figure]:
    """Learning curves by rung, one figure a scale."""
    for words, name, about in (
        ("Validation loss", "eval_loss", "Lower is better."),
        ("Execution accuracy", "eval_ex", "On the fixed slice of validation questions; higher is better."),
    ):
        study = _copy_of_curves(trials, name)
        if study.trials:
            axes = {"xaxis": {"title": "rung", "dtick": 1}, "yaxis": {"title": words.lower()}}
            yield _optuna(f"{words} by rung", about, "plot_intermediate_values", study, "", axes)


def _copy_of_curves(trials: Sequence[Trial], name: str) -> Any:
    import optuna

    study = optuna.create_study()
    curves = [
        {reached.rung: reached.metrics[name] for reached in trial.rungs if name in reached.metrics} for trial in trials
    ]
    if any(curves):
        study.add_trial(_nothing())
        for curve in curves:
            made = optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, intermediate_values=curve)
            study.add_trial(made if curve else _nothing())
    return study


def _copy(trials: Sequence[Trial], frozen: Sequence[Any], num_goals: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * num_goals)
    study.add_trial(_nothing())  # number 0, which no trial of ours has
    values = {each.number + 1: each.values for each in frozen if each.state == optuna.trial.TrialState.COMPLETE}
    distributions = _distributions(trials, frozen)
    for trial in trials:
        told = values.get(trial.number)
        if told is None or told[0] >= PENALTY:  # the first is quality; an adapter's size may be larger
            study.add_trial(_nothing())
            continue
        own = {name: value for name, value in trial.setting.items() if name in distributions}
        study.add_trial(
            optuna.trial.create_trial(params=own, distributions={k: distributions[k] for k in own}, values=told)
        )
    return study


def _nothing() -> Any:
    """A trial that no figure shows; it holds a number."""
    import optuna

    return optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)


def _distributions(trials: Sequence[Trial], frozen: Sequence[Any]) -> dict[str, Any]:
    """What each name was drawn from; of a name that Optuna did not draw, what was seen of it."""
    drawn = {name: kind for each in frozen for name, kind in each.distributions.items()}
    seen: dict[str, list[Value]] = {}
    for trial in trials:
        for name, value in trial.setting.items():
            seen.setdefault(name, []).append(value)
    return {name: drawn[name] if name in drawn else _seen(values) for name, values in seen.items()}


def _seen(values: Sequence[Value]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return CategoricalDistribution(tuple(sorted(set(values), key=str)))
    return FloatDistribution(min(numbers), max(numbers), log=min(numbers) > 0 and max(numbers) >= 10 * min(numbers))


def _timeline(trials: Sequence[Trial]) -> Figure:
    """A bar a trial in the row of its slot, over minutes since the search began."""
    import plotly.graph_objects as go

    about = "Which trial held which slot when; a freed slot takes the next trial."
    begun = [trial for trial in trials if trial.started]
    if not begun:
        return Figure("Timeline of slots", about, None, "No trial has begun.")
    zero, where = min(trial.started for trial in begun), lanes(begun)
    figure = go.Figure()
    for state, colour in COLOURS.items():
        of_state = [trial for trial in begun if trial.state == state]
        if of_state:
            figure.add_trace(_bars(of_state, state, colour, zero, where))
    rows = sorted({_row(lane) for lane in where.values()})
    figure.update_layout(barmode="overlay", height=140 + 34 * len(rows), xaxis_title="minutes since the search began")
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1], title="")
    return Figure("Timeline of slots", about, _json(figure), is_low=True)


def _bars(trials: Sequence[Trial], state: str, colour: str, zero: float, where: dict[int, tuple[str, int]]) -> Any:
    import plotly.graph_objects as go

    minutes: Callable[[float], float] = lambda seconds: round(seconds / 60, 4)  # noqa: E731
    return go.Bar(
        orientation="h",
        name=state,
        marker={"color": colour, "line": {"color": "#ffffff", "width": 1}},
        y=[_row(where[trial.number]) for trial in trials],
        base=[minutes(trial.started - zero) for trial in trials],
        x=[minutes(_end(trial) - trial.started) for trial in trials],
        text=[str(trial.number) for trial in trials],
        textposition="inside",
        insidetextanchor="middle",
        hovertext=[f"trial {trial.number}: {state}, rung {trial.rung}, {trial.examples} examples" for trial in trials],
        hoverinfo="text",
    )


def _row(lane: tuple[str, int]) -> str:
    host, slot = lane
    return f"{host or 'not placed'} · slot {slot}"


def _json(figure: Any) -> str:
    figure.update_layout(
        template="plotly_white",
        title=None,
        margin={"l": 60, "r": 30, "t": 30, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#98a4b3", "activecolor": "#1b2330"},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    return str(figure.to_json())
