"""The space of a search: which settings Optuna may propose, and how a proposal becomes a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t2s.config import Config

Setting = dict[str, float]
"""``r``, ``alpha_over_r`` and ``learning_rate`` of one trial."""


def default_setting(config: Config) -> Setting:
    """What the configuration itself says; it is always the first trial."""
    return {
        "r": config.lora.r,
        "alpha_over_r": config.lora.alpha / config.lora.r,
        "learning_rate": config.training.learning_rate,
    }


@dataclass(frozen=True)
class Space:
    """Optuna's define-by-run function, as an object: Ray Tune pickles it with the state of the search."""

    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    low: float
    high: float
    log: bool

    def __call__(self, trial: Any) -> None:
        """Draw one setting."""
        trial.suggest_categorical("r", self.ranks)
        trial.suggest_categorical("alpha_over_r", self.scales)
        trial.suggest_float("learning_rate", self.low, self.high, log=self.log)


def define_space(config: Config) -> Space:
    """The space of ``search.space``; the configured setting is added to the choices if it is not among them."""
    default, space = default_setting(config), config.search.space
    rate = space.learning_rate
    return Space(
        ranks=tuple(sorted({*space.r, int(default["r"])})),
        scales=tuple(sorted({*space.alpha_over_r, default["alpha_over_r"]})),
        low=min(rate.low, default["learning_rate"]),
        high=max(rate.high, default["learning_rate"]),
        log=rate.log,
    )


def apply_setting(config: Config, setting: Setting) -> Config:
    """``config`` with the rank, alpha and learning rate of ``setting``."""
    r = int(setting["r"])
    lora = config.lora.model_copy(update={"r": r, "alpha": float(r * setting["alpha_over_r"])})
    training = config.training.model_copy(update={"learning_rate": float(setting["learning_rate"])})
    return config.model_copy(update={"lora": lora, "training": training})


def trial_config(config: Config, setting: Setting, num_examples: int) -> Config:
    """The short training of one trial: the whole budget in ``rungs`` equal parts, a validation after each.

    The global batch stays that of the real training, whatever the number of workers, so that a learning rate found
    here means the same there.
    """
    training, search = config.training, config.search
    batch = training.batch_size * training.gradient_accumulation_steps * training.max_workers
    per_pass = training.batch_size * search.num_workers
    assert batch % per_pass == 0, "the configuration refuses search.num_workers that do not divide the global batch"
    rungs = search.rungs
    steps_a_rung = max(1, num_examples // batch // rungs)
    short = training.model_copy(
        update={
            "gradient_accumulation_steps": batch // per_pass,
            "num_workers": search.num_workers,
            "max_steps": steps_a_rung * rungs,
            "epochs": float(steps_a_rung * rungs),
            "eval_steps": steps_a_rung,
            "logging_steps": max(1, steps_a_rung // 2),
        }
    )
    return apply_setting(config.model_copy(update={"training": short}), setting)


def as_overrides(setting: Setting) -> dict[str, Any]:
    """The setting as a configuration layer, for ``best.yaml``."""
    r = int(setting["r"])
    return {
        "lora": {"r": r, "alpha": float(r * setting["alpha_over_r"])},
        "training": {"learning_rate": float(setting["learning_rate"])},
    }
