"""What Ray Serve is told about the two deployments, and what it may tell them anew while they run. Knows no Ray."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from t2s.config import Config
from t2s.runtime import HEAD_SHARE
from t2s.serve.service import RETRY_AFTER_S

HEALTH_CHECK_S = 5.0
"""Ray Serve asks each replica this often, and replaces one that failed three times, or at once if its process died."""
UPSCALE_DELAY_S = 10.0
DOWNSCALE_DELAY_S = 120.0
OTHER_REQUESTS = 1000
"""Room beside the questions that wait: for pages, health, metrics, and bodies that come slowly."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ModelSettings(_Settings):
    """``user_config`` of ``SQLModel``."""

    max_batch_size: int = Field(ge=1)
    batch_wait_timeout_s: float = Field(ge=0)


class ApiSettings(_Settings):
    """``user_config`` of ``Api``."""

    max_under_way: int | None = Field(ge=1)
    """Questions that are answered or wait; null is no limit."""


def model_options(config: Config, num_gpus: float) -> dict[str, Any]:
    """Of ``SQLModel``, each copy of which takes ``num_gpus``."""
    settings = config.serve
    return replica_number(config) | {
        # While one batch is generated, the next one gathers.
        "max_ongoing_requests": 2 * settings.max_batch_size,
        "max_constructor_retry_count": 2,
        "graceful_shutdown_timeout_s": settings.drain_timeout_s,
        "health_check_period_s": HEALTH_CHECK_S,
        "ray_actor_options": {"num_cpus": config.ray.worker_cpus, "num_gpus": num_gpus},
        "user_config": ModelSettings(
            max_batch_size=settings.max_batch_size, batch_wait_timeout_s=settings.batch_wait_timeout_s
        ).model_dump(),
    }


def replica_number(config: Config) -> dict[str, Any]:
    """Fixed, or such that each copy has one batch to do: a second one's worth of questions starts the next copy."""
    settings = config.serve
    if settings.max_replicas is None:
        return {"num_replicas": settings.num_replicas}
    follows = {
        "min_replicas": settings.min_replicas or 1,
        "max_replicas": settings.max_replicas,
        "target_ongoing_requests": settings.max_batch_size,
        "upscale_delay_s": UPSCALE_DELAY_S,
        "downscale_delay_s": DOWNSCALE_DELAY_S,
        "look_back_period_s": UPSCALE_DELAY_S,
    }
    return {"autoscaling_config": follows}


def api_options(config: Config) -> dict[str, Any]:
    """Of ``Api``."""
    settings = config.serve
    most = settings.most_under_way
    return {
        # Who is refused is refused inside, with a line, and without a wait.
        "max_ongoing_requests": 10_000 if most is None else 4 * most + OTHER_REQUESTS,
        "max_queued_requests": 64,
        "backpressure_config": {"status_code": 429, "retry_after_s": RETRY_AFTER_S},
        "graceful_shutdown_timeout_s": settings.drain_timeout_s,
        # The database files are on this machine.
        "ray_actor_options": {"num_cpus": 0, "resources": HEAD_SHARE},
        "user_config": ApiSettings(max_under_way=most).model_dump(),
    }
