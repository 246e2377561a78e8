"""The sections of what t2s meets outside: MLflow or W&B, and Ray."""

from __future__ import annotations

from pydantic import Field

from t2s.config.schema.section import Count, Name, Section


class TrackingConfig(Section):
    """Where runs are written down."""

    uri: str | None = None
    """MLflow's tracking URI; None is SQLite at ``output_dir/mlflow.db``."""
    experiment: Name = "t2s"
    """MLflow experiment."""
    registered_model: Name = "t2s"
    """Name of the model in MLflow's registry whose versions are adapters."""
    wandb_project: Name = "t2s"
    """Project for ``training.report_to: wandb``."""


class RayConfig(Section):
    """Which Ray. On a laptop a local one is started and ends with the command."""

    address: str | None = None
    """``auto`` or ``HOST:PORT`` joins a running cluster; None starts a local Ray, unless RAY_ADDRESS is set."""
    num_cpus: Count | None = None
    """CPUs of a local Ray; None is all."""
    worker_cpus: float = Field(default=1, gt=0)
    """CPUs a training worker or a replica takes; a worker runs one thread a CPU."""
