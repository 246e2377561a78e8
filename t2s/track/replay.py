"""Replay: bring MLflow up to a run's journal after it was away or slow. Twice adds nothing.

A value counts as there if the MLflow run has the same (metric, step, value) as often as the journal.
Not covered: artifacts other than the run's own small files.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from t2s.config import Config
from t2s.errors import DataError, SetupError
from t2s.track.files import recall_run, remember_run
from t2s.track.journal import FILE_NAME, finite_metrics, read_journal
from t2s.track.runs import Tracker, connect, tracking_uri
from t2s.track.sinks import MAX_BATCH, _first_line

Entry = tuple[str, int, float]


def replay(run_dir: Path, config: Config) -> int:
    """Send what MLflow misses of ``run_dir/metrics.jsonl``; return how many values were sent.

    A run that MLflow never saw is created, with the directory's name as its key.

    Raises:
        DataError: no journal there, or a broken one.
        SetupError: MLflow cannot be reached.
    """
    rows = read_journal(run_dir / FILE_NAME)
    try:
        client = connect(config)
        run_id = _existing_run(client, run_dir) or _create_run(run_dir, config)
        return _send_missing(client, run_id, rows)
    except (DataError, SetupError):
        raise
    except Exception as error:  # fault boundary: MLflow raises its own, SQLAlchemy's and HTTP errors
        raise SetupError(f"MLflow at {tracking_uri(config)}: {_first_line(error)}; set tracking.uri") from None


def _existing_run(client: Any, run_dir: Path) -> str | None:
    """The remembered run, unless this MLflow does not know it (another server, a new file)."""
    from mlflow.exceptions import MlflowException

    run_id = recall_run(run_dir)
    try:
        return run_id if run_id and client.get_run(run_id) else None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _create_run(run_dir: Path, config: Config) -> str:
    path = run_dir / "config.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    training = config.training.model_copy(update={"report_to": "mlflow"})
    tracker = Tracker(config.model_copy(update={"training": training}))
    run_id = tracker.start_run(run_dir.name, run_dir.name.split("-")[0], params, key=str(run_dir.resolve()))
    if run_id is None:
        raise SetupError(f"MLflow at {tracking_uri(config)} did not make a run; is the server up? see tracking.uri")
    for name in ("config.yaml", "env.json"):
        if (run_dir / name).is_file():
            tracker.log_artifact(run_id, run_dir / name)
    tracker.finish(run_id)
    remember_run(run_dir, run_id, tracking_uri(config))
    return run_id


def _send_missing(client: Any, run_id: str, rows: list[dict[str, Any]]) -> int:
    from mlflow.entities import Metric

    times: dict[Entry, int] = {}
    wanted: Counter[Entry] = Counter()
    for row in rows:
        for name, value in finite_metrics(row).items():
            entry = (name, row["step"], float(value))
            times[entry] = int(float(row.get("time", 0)) * 1000)
            wanted[entry] += 1
    for name in {entry[0] for entry in wanted}:
        wanted.subtract((name, m.step, m.value) for m in client.get_metric_history(run_id, name))
    missing = [Metric(e[0], e[2], times[e], e[1]) for e, count in wanted.items() for _ in range(count)]
    for start in range(0, len(missing), MAX_BATCH):
        client.log_batch(run_id, metrics=missing[start : start + MAX_BATCH])
    return len(missing)
