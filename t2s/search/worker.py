"""What a Tune trial runs in ``workers`` mode: a training of its own, here or as a Ray Train run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import T2SError
from t2s.search.ladder import Ladder
from t2s.search.news import first_line
from t2s.search.setting import trial_config
from t2s.train.harness import BatchError

ADAPTER = "adapter"
"""Name of the directory of a finished trial's adapter."""


def run_worker_trial(
    proposed: dict[str, Any],
    config: Config,
    num_examples: int,
    ladder: Ladder,
    texts: Any,
    about: dict[str, Any],
    folder: Path,
    board: str,
) -> None:
    """One Tune trial: ``proposed`` holds its number and its setting; its adapter goes to ``folder/<number>``."""
    from ray import tune

    short = trial_config(config, proposed["setting"], num_examples)
    unasked = [0, *short.training.measured_after(short.training.max_steps)][: ladder.rungs - ladder.ex_rungs + 1]
    trial = {
        "ask_from_step": unasked[-1] + 1,
        "adapter_to": folder / str(proposed["number"]) / ADAPTER,
    }
    trial_id = tune.get_context().get_trial_id()
    try:
        if config.search.num_workers == 1:
            _train_here(short, texts, about, trial, trial_id)
        else:
            _train_with_workers(short, texts, about, trial, trial_id, folder, board)
    except (T2SError, BatchError) as error:
        # Raised, it would be tried again by Tune; and Tune would tell the searcher that it failed, but not why.
        tune.report({"failed": 1.0, "error": first_line(error), "rung": 0})


def _train_here(short: Config, texts: Any, about: dict[str, Any], trial: dict[str, Any], trial_id: str) -> None:
    from t2s.train.harness import TrialHarness
    from t2s.train.loop import train_here

    alone = {"config": short, "texts": texts, "about": about, "journal": None, "name": trial_id}
    train_here(alone | {"run_dir": None, "stop_board": None} | trial, TrialHarness())


def _train_with_workers(
    short: Config, texts: Any, about: dict[str, Any], trial: dict[str, Any], trial_id: str, folder: Path, board: str
) -> None:
    from ray.tune.integration.ray_train import TuneReportCallback

    from t2s.train.fit import build_ray_trainer, fit

    trainer = build_ray_trainer(
        short, texts, about, folder, trial_id, callbacks=[TuneReportCallback()], stop_board=board, trial=trial
    )
    fit(trainer)
