"""Replay: bring MLflow up to a run's journal after it was away or slow. Twice adds nothing.

A value counts as there if the MLflow run has the same (metric, step, value) as often as the journal. A run that
has finished also gets its final metrics, its adapter and its end. Not covered: what MLflow has too much, such as the
lines of a training that died and took those steps again with other values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from t2s.config import Config
from t2s.errors import DataError, SetupError
from t2s.masking import without_password
from t2s.track.files import recall_run, remember_run
from t2s.track.journal import FILE_NAME, finite_metrics, read_journal
from t2s.track.lock import refuse_if_held
from t2s.track.runs import Tracker, connect, tracking_uri
from t2s.track.sinks import MAX_BATCH, _first_line

Entry = tuple[str, int, float]
RESULT, ADAPTER = "result.json", "adapter"
"""What a finished training leaves in its directory."""


def replay(run_dir: Path, config: Config) -> int:
    """Send what MLflow misses of ``run_dir/metrics.jsonl``; return how many values were sent.

    A run that MLflow never saw is created, with the directory's name as its key.

    Raises:
        ConfigError: a process is still working on the run, and sends its metrics itself.
        DataError: no journal there, or a broken one.
        SetupError: MLflow cannot be reached, or somebody deleted the run there.
    """
    rows = read_journal(run_dir / FILE_NAME)
    refuse_if_held(run_dir)
    try:
        client = connect(config)
        run_id = _existing_run(client, run_dir) or _create_run(run_dir, config)
        return _send_missing(client, run_id, rows) + _finish(client, run_id, run_dir)
    except (DataError, SetupError):
        raise
    except Exception as error:  # fault boundary: MLflow raises its own, SQLAlchemy's and HTTP errors
        uri = without_password(tracking_uri(config))
        raise SetupError(f"MLflow at {uri}: {_first_line(error)}; set tracking.uri") from None


def _existing_run(client: Any, run_dir: Path) -> str | None:
    """The remembered run, unless this MLflow does not know it (another server, a new file)."""
    from mlflow.exceptions import MlflowException

    run_id = recall_run(run_dir)
    if run_id is None:
        return None
    try:
        found = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    if found.info.lifecycle_stage == "deleted":
        raise SetupError(
            f"run {run_id} was deleted in MLflow: restore it (mlflow runs restore --run-id {run_id}), or remove "
            f"{run_dir / 'tracking.json'} to send the journal to a new run"
        )
    return run_id


def _create_run(run_dir: Path, config: Config) -> str:
    path = run_dir / "config.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    training = config.training.model_copy(update={"report_to": "mlflow"})
    tracker = Tracker(config.model_copy(update={"training": training}))
    run_id = tracker.start_run(run_dir.name, _kind(run_dir), params, key=str(run_dir.resolve()))
    if run_id is None:
        uri = without_password(tracking_uri(config))
        raise SetupError(f"MLflow at {uri} did not make a run; is the server up? see tracking.uri")
    for name in ("config.yaml", "env.json"):
        if (run_dir / name).is_file():
            tracker.log_artifact(run_id, run_dir / name)
    remember_run(run_dir, run_id, tracking_uri(config))
    if not (run_dir / RESULT).is_file():
        tracker.finish(run_id)
    return run_id


def _kind(run_dir: Path) -> str:
    """What a run was, by the file that it left."""
    files = {"evaluation.json": "evaluate", "search.json": "search"}
    return next((kind for name, kind in files.items() if (run_dir / name).is_file()), "train")


def _finish(client: Any, run_id: str, run_dir: Path) -> int:
    """The end of a training that has finished: final metrics, adapter, status; returns how many values were sent."""
    try:
        final = json.loads((run_dir / RESULT).read_text("utf-8"))["metrics"]
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run_dir / RESULT}: not the result of a training: {error!r}") from None
    found = client.get_run(run_id)
    missing = {f"final_{name}": value for name, value in final.items() if f"final_{name}" not in found.data.metrics}
    for name, value in missing.items():
        client.log_metric(run_id, name, float(value))
    if (run_dir / ADAPTER).is_dir() and not client.list_artifacts(run_id, ADAPTER):
        client.log_artifacts(run_id, str(run_dir / ADAPTER), ADAPTER)
    if found.info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")
    return len(missing)


def _send_missing(client: Any, run_id: str, rows: list[dict[str, Any]]) -> int:
    from mlflow.entities import Metric

    wanted: dict[Entry, list[int]] = defaultdict(list)
    there: dict[Entry, list[int]] = defaultdict(list)
    for row in rows:
        for name, value in finite_metrics(row).items():
            wanted[name, row["step"], float(value)].append(int(float(row.get("time", 0)) * 1000))
    for name in {entry[0] for entry in wanted}:
        for metric in client.get_metric_history(run_id, name):
            there[name, metric.step, metric.value].append(metric.timestamp)
    missing = [
        Metric(entry[0], entry[2], time, entry[1])
        for entry, times in wanted.items()
        for time in _apart(times, there[entry])
    ]
    for start in range(0, len(missing), MAX_BATCH):
        client.log_batch(run_id, metrics=missing[start : start + MAX_BATCH])
    return len(missing)


def _apart(times: list[int], there: list[int]) -> list[int]:
    """The latest of ``times`` (ms) for which ``there`` has none, each made one of its own: MLflow keeps one value of
    several that share metric, step, value and time."""
    taken, found = set(there), []
    for time in sorted(times)[len(there) :]:
        while time in taken:
            time += 1
        taken.add(time)
        found.append(time)
    return found
