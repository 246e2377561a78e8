"""An evaluation in MLflow: overall scores as metrics, its files as artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.evaluate.run import Evaluation
from t2s.track.files import remember_run
from t2s.track.runs import Tracker, tracking_uri


def track_evaluation(config: Config, run_dir: Path, found: Evaluation) -> str | None:
    """Write the evaluation in ``run_dir`` as a run, the same one if it is told twice; returns the run's id."""
    tracker = Tracker(config)
    run_id = tracker.start_run(run_dir.name, "evaluate", found.results["data"], key=str(run_dir))
    remember_run(run_dir, run_id, tracking_uri(config))
    tracker.log_metrics(run_id, overall_scores(found.rows))
    tracker.log_artifacts(run_id, run_dir)
    tracker.finish(run_id)
    return run_id


def overall_scores(rows: list[dict[str, Any]]) -> dict[str, float]:
    """``{"ex_base": 0.1, "ex_tuned": 0.6, ...}`` of the last row."""
    cells = {(metric, side): rows[-1][metric][side] for metric in ("ex", "lf") for side in ("base", "tuned")}
    return {f"{metric}_{side}": cell["accuracy"] for (metric, side), cell in cells.items() if cell}
