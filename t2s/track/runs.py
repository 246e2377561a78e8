"""MLflow runs: made, filled and finished through a client with explicit URIs (never MLflow's global state).

MLflow is a listener. When it cannot be reached, the tracker warns once and every call returns without an
effect; the journal of the run stays complete and can be replayed. The registry is another matter: see
:mod:`t2s.registry`, which needs MLflow and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from t2s.config import Config
from t2s.masking import mask_settings, without_password
from t2s.track.sinks import _client, _first_line, short_http_timeouts

log = logging.getLogger("t2s.track")

Status = Literal["FINISHED", "FAILED", "KILLED"]
Result = TypeVar("Result")

KEY_TAG = "t2s.key"
"""Names a run across restarts, so that looking it up comes before creating it again."""
MAX_PARAM_CHARS = 6000
"""MLflow's limit on the value of a parameter."""


def tracking_uri(config: Config) -> str:
    """``tracking.uri``, or SQLite at ``<absolute output_dir>/mlflow.db``, whose directory is made."""
    if config.tracking.uri is not None:
        return config.tracking.uri
    directory = config.output_dir.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{directory / 'mlflow.db'}"


def connect(config: Config) -> Any:
    """An ``MlflowClient`` on :func:`tracking_uri`, with short timeouts. Raises what MLflow raises."""
    short_http_timeouts()
    _quiet()
    return _client(tracking_uri(config))


def experiment_id(client: Any, config: Config) -> str:
    """The id of ``tracking.experiment``, created if it is not there yet."""
    from mlflow.exceptions import MlflowException

    name = config.tracking.experiment
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    own = config.tracking.uri is None
    location = (config.output_dir.absolute() / "mlartifacts").as_uri() if own else None
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another process may have created it between the two calls.
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise


class Tracker:
    """Writes runs to MLflow; with another ``training.report_to`` the same methods do nothing."""

    def __init__(self, config: Config) -> None:
        """Nothing is contacted until the first call."""
        self._config = config
        self._connected: Any = None
        self._warned = False
        self.enabled = config.training.report_to == "mlflow"

    def start_run(
        self,
        name: str,
        kind: str,
        params: Mapping[str, object],
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> str | None:
        """Create a run and return its id; None if tracking is off or MLflow is away.

        ``kind`` is train, search, trial or evaluate. ``params`` may be nested; keys are joined by dots.
        ``parent`` nests the run under another. A run of the same ``key`` is taken up again, not made twice.
        """
        return self._attempt(lambda client: self._start(client, name, kind, params, parent, tags or {}, key))

    def log_metrics(self, run_id: str | None, metrics: Mapping[str, float], step: int = 0) -> None:
        """Write metrics now (for a few final numbers; a training's steps go through a sink)."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        self._on_run(run_id, lambda client: client.log_batch(run_id, metrics=batch))

    def metrics_of(self, run_id: str | None) -> dict[str, float]:
        """The last value of each metric that MLflow has of a run; nothing if it is away."""
        if run_id is None:
            return {}
        return self._attempt(lambda client: dict(client.get_run(run_id).data.metrics)) or {}

    def log_artifacts(self, run_id: str | None, directory: Path, path: str | None = None) -> None:
        """Upload the files of a directory under ``path``."""
        self._on_run(run_id, lambda client: client.log_artifacts(run_id, str(directory), path))

    def log_artifact(self, run_id: str | None, file: Path, path: str | None = None) -> None:
        """Upload one file under ``path``."""
        self._on_run(run_id, lambda client: client.log_artifact(run_id, str(file), path))

    def set_tags(self, run_id: str | None, tags: Mapping[str, str]) -> None:
        """Set tags on a run."""
        self._on_run(run_id, lambda client: [client.set_tag(run_id, k, v) for k, v in tags.items()])

    def finish(self, run_id: str | None, status: Status = "FINISHED") -> None:
        """End a run; twice is harmless."""
        self._on_run(run_id, lambda client: client.set_terminated(run_id, status))

    def _start(
        self,
        client: Any,
        name: str,
        kind: str,
        params: Mapping[str, object],
        parent: str | None,
        tags: Mapping[str, str],
        key: str | None,
    ) -> str:
        experiment = experiment_id(client, self._config)
        if key is not None and (found := _find(client, experiment, key)):
            client.update_run(found, status="RUNNING")
            if not client.get_run(found).data.params:  # its maker lost the server between the two calls
                _log_params(client, found, params)
            return found
        own = {"t2s.kind": kind} | ({"mlflow.parentRunId": parent} if parent else {})
        own |= {KEY_TAG: _plain(key)} if key is not None else {}
        run_id = str(client.create_run(experiment, run_name=name, tags={**tags, **own}).info.run_id)
        _log_params(client, run_id, params)
        return run_id

    def _on_run(self, run_id: str | None, call: Callable[[Any], object]) -> None:
        if run_id is not None:
            self._attempt(call)

    def _attempt(self, call: Callable[[Any], Result]) -> Result | None:
        if not self.enabled:
            return None
        try:
            self._connected = self._connected or connect(self._config)
            return call(self._connected)
        except Exception as error:  # fault boundary: tracking must never end a run
            if not self._warned:
                log.warning(
                    "MLflow at %s: %s; going on without: metrics.jsonl is complete, and `t2s track replay RUN_DIR` "
                    "sends it later",
                    without_password(tracking_uri(self._config)),
                    _first_line(error),
                )
            self._warned = True
            return None


def flatten(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``(dotted key, text)`` of nested parameters, as MLflow wants them; passwords in URIs are left out."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            text = without_password(value) if isinstance(value, str) else str(value)
            yield f"{prefix}{key}", text[:MAX_PARAM_CHARS]


def _log_params(client: Any, run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    batch = [Param(key, value) for key, value in flatten(mask_settings(params))]
    for start in range(0, len(batch), 100):  # MLflow takes 100 parameters a call
        client.log_batch(run_id, params=batch[start : start + 100])


def _find(client: Any, experiment: str, key: str) -> str | None:
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{_plain(key)}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _plain(key: str) -> str:
    """Without the quote, which MLflow's filters cannot say."""
    return key.replace("'", "")


def _quiet() -> None:
    """Alembic and MLflow announce each schema migration of a new SQLite file; nobody asked."""
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
