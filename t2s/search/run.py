"""The search: Ray Tune runs the trials, Optuna proposes them, ASHA stops the worse ones.

A trial trains in its own process; with ``search.num_workers`` above 1 it is a Ray Train run (a light driver that takes
no CPU, and its workers). Trials are ranked by validation loss; the best one is the lowest loss among those that reached
the last rung.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from t2s.config import Config
from t2s.errors import RunError
from t2s.search.space import Setting, apply_setting, as_overrides, default_setting, define_space, trial_config

METRIC = "eval_loss"


@dataclass(frozen=True)
class Trial:
    """One setting tried: its last validation loss (None if it failed), rungs reached and how it ended."""

    id: str
    setting: Setting
    loss: float | None
    rungs: int
    state: str
    wall_s: float
    cpu_s: float
    error: str = ""


@dataclass(frozen=True)
class SearchResult:
    """What a search left: all trials in order, the best one, and the configuration with its setting."""

    search_dir: Path
    trials: list[Trial]
    best: Trial
    config: Config
    run_id: str | None


def search(
    config: Config,
    run_name: str | None = None,
    say: Callable[[str], None] = print,
    on_result: Callable[[str, Setting, dict[str, Any]], None] | None = None,
) -> SearchResult:
    """Run a search and return its best setting; leaves ``search.json``, ``best.yaml`` and Optuna's ``study.db``.

    Ray must be connected and paths absolute. ``on_result`` hears each rung: trial id, setting, metrics.

    Raises:
        T2SError: bad data or settings before anything starts; :class:`RunError` if no trial finished.
    """
    from t2s.search.tracking import TrialTracker
    from t2s.track.files import new_run_dir, write_run_files
    from t2s.train.estimate import settle
    from t2s.train.launch import prepare_texts

    limited = _limited(config)
    at_a_time = concurrency(config)  # refuses a device or a precision that this Ray does not have
    texts, about = prepare_texts(limited)
    trial_config(config, default_setting(config), len(texts.train))  # refuses impossible batches now
    limited = settle(limited, texts, say, at_a_time * config.search.num_workers)
    search_dir = new_run_dir(config.output_dir, "search", run_name)
    write_run_files(search_dir, config)
    say(f"search {search_dir}")
    say(
        f"{config.search.num_trials} trials, each up to {len(texts.train)} examples in {config.search.rungs} rungs, "
        f"{at_a_time} at a time"
    )
    tracker = TrialTracker(config, search_dir, on_result)
    try:
        grid = _fit(limited, texts, about, search_dir, tracker)
        trials = [_trial(result, config) for result in grid]
        best = _best(trials)
    except BaseException as error:
        tracker.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    _write(search_dir, trials, best)
    tracker.finish("FINISHED", search_dir, best)
    return SearchResult(search_dir, trials, best, apply_setting(config, best.setting), tracker.run_id)


def concurrency(config: Config) -> int:
    """Trials that run at a time: what was asked for, or what the cluster carries."""
    import ray

    from t2s.runtime import uses_gpu

    resources = ray.cluster_resources()
    gpus = uses_gpu(config)
    there = resources.get("GPU", 0) if gpus else resources.get("CPU", 1) / config.ray.worker_cpus
    carried = max(1, int(there // config.search.num_workers))
    return min(carried, config.search.max_concurrent_trials or carried, config.search.num_trials)


def _limited(config: Config) -> Config:
    update = {
        "max_train_samples": config.search.max_train_samples,
        "max_val_samples": config.search.max_val_samples,
        # Trials are ranked by their loss; what the real training measures besides would cost each rung.
        "eval_ex_samples": 0,
        "metric_for_best": None,
        "early_stopping_patience": None,
    }
    return config.model_copy(update={"training": config.training.model_copy(update=update)})


def _fit(config: Config, texts: Any, about: dict[str, Any], search_dir: Path, tracker: Any) -> Any:
    from ray import tune

    from t2s.search.asha import start_stop_board

    # A failed trial is told by t2s in one line, with its reason; Tune would show the whole traceback.
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)
    # Tune names each result and warns about what t2s does on purpose; its own table is not shown.
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    board = f"t2s-stop-{search_dir.name}"
    keep_alive = start_stop_board(board)
    driver = tune.with_parameters(
        _run_trial,
        config=config,
        num_examples=len(texts.train),
        texts=texts,  # Tune keeps one copy for all trials
        about=about,
        at=search_dir,
        board=board,
    )
    tuner = tune.Tuner(
        tune.with_resources(driver, _resources(config)),
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="min",
            num_samples=config.search.num_trials,
            max_concurrent_trials=concurrency(config),
            time_budget_s=config.search.time_budget_s,
            search_alg=_optuna(config, search_dir),
            scheduler=_scheduler(config, board),
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(search_dir), callbacks=[tracker], verbose=0, log_to_file=True
        ),
    )
    results = tuner.fit()
    del keep_alive
    return results


def _run_trial(
    setting: Setting, config: Config, num_examples: int, texts: Any, about: dict[str, Any], at: Path, board: str
) -> None:
    """Runs in Tune's trial process: trains here, or starts a Ray Train run whose reports go on to Tune."""
    from ray import tune

    trial_id = tune.get_context().get_trial_id()
    short = trial_config(config, setting, num_examples)
    if config.search.num_workers == 1:
        from t2s.train.harness import TrialHarness
        from t2s.train.loop import train_here

        alone = {"config": short, "texts": texts, "about": about, "journal": None, "name": trial_id}
        train_here(alone | {"run_dir": None, "stop_board": None}, TrialHarness())
        return
    from ray.tune.integration.ray_train import TuneReportCallback

    from t2s.train.fit import build_ray_trainer, fit

    trainer = build_ray_trainer(
        short, texts, about, at / "trials", trial_id, callbacks=[TuneReportCallback()], stop_board=board
    )
    fit(trainer)


def _resources(config: Config) -> dict[str, float]:
    """What Tune sets aside for a trial; a Ray Train run asks for its workers' CPUs and GPUs itself."""
    from t2s.runtime import HEAD_SHARE, uses_gpu

    if config.search.num_workers > 1:
        return HEAD_SHARE
    return {"CPU": config.ray.worker_cpus} | ({"GPU": 1.0} if uses_gpu(config) else {})


def _optuna(config: Config, search_dir: Path) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {
        # TPE's default of ten random trials first would make a short search random.
        "tpe": optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4, multivariate=True),
        "random": optuna.samplers.RandomSampler(seed=config.seed),
    }
    return OptunaSearch(
        space=define_space(config),
        metric=METRIC,
        mode="min",
        points_to_evaluate=[default_setting(config)],
        sampler=samplers[config.search.sampler],
        study_name=search_dir.name,
        storage=optuna.storages.RDBStorage(f"sqlite:///{search_dir / 'study.db'}"),
    )


def _scheduler(config: Config, board: str) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    from t2s.search.asha import GracefulASHA

    if config.search.scheduler == "none":
        return None
    settings: dict[str, Any] = {
        "time_attr": "training_iteration",
        "grace_period": 1,
        "max_t": config.search.rungs,
        "reduction_factor": config.search.reduction_factor,
    }
    # A trial in its own process leaves nothing behind when it is killed.
    return ASHAScheduler(**settings) if config.search.num_workers == 1 else GracefulASHA(board, **settings)


def _trial(result: Any, config: Config) -> Trial:
    metrics = result.metrics or {}
    rungs = int(metrics.get("training_iteration", 0)) if METRIC in metrics else 0
    state = "failed" if result.error else "finished" if rungs >= config.search.rungs else "stopped"
    lines = str(result.error).strip().splitlines() if result.error else []
    return Trial(
        id=str(metrics.get("trial_id") or Path(result.path).name),
        setting={key: float(value) for key, value in (result.config or {}).items()},
        loss=float(metrics[METRIC]) if METRIC in metrics else None,
        rungs=rungs,
        state=state,
        wall_s=float(metrics.get("wall_s", 0)),
        cpu_s=float(metrics.get("cpu_s", 0)),
        error=lines[-1] if lines else "",
    )


def _best(trials: list[Trial]) -> Trial:
    measured = [trial for trial in trials if trial.loss is not None and trial.state != "failed"]
    if not measured:
        why = next((trial.error for trial in trials if trial.error), "no trial reported a validation loss")
        raise RunError(f"search: no trial finished: {why}")
    furthest = max(trial.rungs for trial in measured)
    return min((t for t in measured if t.rungs == furthest), key=lambda t: t.loss if t.loss is not None else 0.0)


def _write(search_dir: Path, trials: list[Trial], best: Trial) -> None:
    about = {"metric": METRIC, "best": best.id, "trials": [_as_dict(trial) for trial in trials]}
    (search_dir / "search.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    text = yaml.safe_dump(as_overrides(best.setting), sort_keys=False)
    (search_dir / "best.yaml").write_text(f"# best of {len(trials)} trials of {search_dir.name}\n{text}", "utf-8")


def _as_dict(trial: Trial) -> dict[str, Any]:
    return dataclasses.asdict(trial)
