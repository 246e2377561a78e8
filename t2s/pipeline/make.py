"""The stages that make an adapter: the search, and the training of its best setting on all the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.pipeline.state import clear_start
from t2s.pipeline.work import Work
from t2s.search.record import STUDY, SUMMARY, Trial, read_trials
from t2s.track.files import recall_run
from t2s.train.record import RECORD, RESULT, read_json


@dataclass(frozen=True)
class _Found:
    """A search that came to its end before its pipeline heard of it."""

    trials: list[Trial]
    best: Trial


def do_search(work: Work) -> dict[str, Any]:
    """Search, or go on with the search that was begun."""
    from t2s.search.resume import plan_resume
    from t2s.search.run import search

    place = work.place("search")
    is_begun = (place / STUDY).is_file()
    if not is_begun:
        clear_start(place)
    elif plan_resume(str(place), [], []).is_finished:
        return _adopt_search(work.config, place)
    with work.screen.trials(work.config) as board:
        say, resume = work.screen.say, place if is_begun else None
        found = search(work.config, None if is_begun else place.name, say, board.update, resume)
    return _search_result(place, found.trials, found.best)


def _adopt_search(config: Config, place: Path) -> dict[str, Any]:
    """The result of a finished search; MLflow gets what it may have missed."""
    from t2s.search.tracking import SearchTracker

    trials = read_trials(place)
    number = read_json(place / SUMMARY)["best"]
    best = next(trial for trial in trials if trial.number == number)
    SearchTracker(config, place).finish("FINISHED", _Found(trials, best))
    return _search_result(place, trials, best)


def _search_result(place: Path, trials: list[Trial], best: Trial) -> dict[str, Any]:
    return {
        "best": best.number,
        "trials": len(trials),
        "setting": best.setting,
        "loss": best.loss,
        "ex": best.ex,
        "run_id": recall_run(place),
    }


def do_train(work: Work) -> dict[str, Any]:
    """Train the best setting on all the data, or go on from the last checkpoint."""
    from t2s.train.launch import train
    from t2s.train.resume import Resume

    place, config = work.place("train"), work.trained()
    if (place / RESULT).is_file():
        return _train_result(place, read_json(place / RESULT)["metrics"])
    is_begun = (place / RECORD).is_file()
    if not is_begun:
        clear_start(place)
    resume = Resume(place, config, [], False) if is_begun else None
    with work.screen.meter("training") as progress:
        found = train(config, None if is_begun else place.name, work.screen.say, progress.metrics, resume)
    return _train_result(place, found.metrics)


def _train_result(place: Path, metrics: dict[str, float]) -> dict[str, Any]:
    from t2s.model.adapter import read_manifest
    from t2s.train.launch import ADAPTER

    manifest = read_manifest(place / ADAPTER)
    return {
        "adapter": f"{place.name}/{ADAPTER}",
        "sha256": manifest["files"]["adapter_model.safetensors"],
        "metrics": json.loads(json.dumps(metrics)),
        "run_id": recall_run(place),
    }
