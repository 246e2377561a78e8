"""A search in MLflow: a parent run, and one child a trial whose steps are the rungs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from t2s.config import Config
from t2s.track.files import remember_run
from t2s.track.runs import Tracker, tracking_uri

REPORTED = ("eval_loss", "wall_s", "cpu_s")


class TrialTracker(Callback):
    """A Tune callback, on the driver. The MLflow run of a trial is looked up by its id before it is made."""

    def __init__(
        self,
        config: Config,
        search_dir: Path,
        on_result: Callable[[str, dict[str, float], dict[str, Any]], None] | None,
    ) -> None:
        self._tracker = Tracker(config)
        self._search_dir = search_dir
        self._on_result = on_result
        self._runs: dict[str, str | None] = {}
        self.run_id = self._tracker.start_run(
            search_dir.name, "search", config.model_dump(mode="json"), key=str(search_dir)
        )
        remember_run(search_dir, self.run_id, tracking_uri(config))
        self._tracker.log_artifact(self.run_id, search_dir / "config.yaml")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the trial's run."""
        if trial.trial_id not in self._runs:
            self._runs[trial.trial_id] = self._tracker.start_run(
                trial.trial_id,
                "trial",
                dict(trial.config),
                parent=self.run_id,
                key=f"{self._search_dir}/{trial.trial_id}",
            )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Write one rung."""
        metrics = {name: float(result[name]) for name in REPORTED if name in result}
        self._tracker.log_metrics(self._runs.get(trial.trial_id), metrics, step=int(result["training_iteration"]))
        if self._on_result:
            self._on_result(trial.trial_id, dict(trial.config), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's run."""
        self._tracker.finish(self._runs.get(trial.trial_id))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's run as failed."""
        self._tracker.finish(self._runs.get(trial.trial_id), "FAILED")

    def finish(self, status: Any, search_dir: Path | None = None, best: Any = None) -> None:
        """Close the search's run, with the best trial's loss and setting."""
        if search_dir is not None and best is not None:
            self._tracker.log_metrics(self.run_id, {"best_eval_loss": best.loss, **best.setting})
            for name in ("search.json", "best.yaml"):
                self._tracker.log_artifact(self.run_id, search_dir / name)
        self._tracker.finish(self.run_id, status)
