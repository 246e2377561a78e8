"""A setting, which is one point of a search's space, and what it makes of a configuration.

The names are those of ``search.space``. A setting names all of them or some; what it leaves out stays as configured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from t2s.config import Config, LoraConfig, TrainingConfig
from t2s.config.schema import SettingConfig
from t2s.errors import ConfigError

Value = float | int | str
Setting = dict[str, Value]
"""By the names of :data:`NAMES`; sets of layers are text, ``q_proj+v_proj`` or ``all-linear``."""

NAMES = tuple(SettingConfig.model_fields)
"""Everything that a search can vary."""

_LORA = ("r", "dropout", "target_modules", "init")
_TRAINING = ("learning_rate", "warmup_ratio", "weight_decay", "lr_scheduler")


def configured(config: Config) -> Setting:
    """What ``config`` itself says of everything that a search can vary."""
    lora, training = config.lora, config.training
    return {
        "r": lora.r,
        "alpha_over_r": lora.alpha / lora.r,
        "learning_rate": training.learning_rate,
        "dropout": lora.dropout,
        "target_modules": layers_text(lora.target_modules),
        "warmup_ratio": training.warmup_ratio,
        "weight_decay": training.weight_decay,
        "global_batch": _global_batch(training),
        "init": lora.init,
        "lr_scheduler": training.lr_scheduler,
    }


def apply_setting(config: Config, setting: Setting) -> Config:
    """``config`` with ``setting``; alpha / r stays if the setting does not name it, so alpha follows the rank.

    Raises:
        ConfigError: a global batch that the workers cannot share out.
    """
    changes = as_overrides(config, setting)
    lora = config.lora.model_copy(update=changes.get("lora", {}))
    training = config.training.model_copy(update=changes.get("training", {}))
    return config.model_copy(update={"lora": lora, "training": training})


def as_overrides(config: Config, setting: Setting) -> dict[str, Any]:
    """The setting as a layer on top of ``config``, for ``best.yaml``."""
    lora: dict[str, Any] = {name: setting[name] for name in _LORA if name in setting}
    if "target_modules" in lora:
        lora["target_modules"] = _layers(str(lora["target_modules"]))
    if "r" in setting or "alpha_over_r" in setting:
        lora["alpha"] = _alpha(config.lora, setting)
    training: dict[str, Any] = {name: setting[name] for name in _TRAINING if name in setting}
    if "global_batch" in setting:
        training |= _split(int(setting["global_batch"]), config.training, config.training.max_workers)
    return {name: section for name, section in (("lora", lora), ("training", training)) if section}


def trial_config(config: Config, setting: Setting, num_examples: int) -> Config:
    """The short training of one trial: ``search.rungs`` measurements on the way, the last one at the whole budget.

    A rung ends after the same number of examples for every setting (:func:`rung_ends`). The global batch is kept
    whatever the number of workers, so that a learning rate found here means the same in the real training.

    Raises:
        ConfigError: too few examples for one step a rung, or a batch that the workers cannot share out.
    """
    search = config.search
    batch = int(setting.get("global_batch", _global_batch(config.training)))
    ends = [examples // batch for examples in rung_ends(config, num_examples, batch)]
    applied = apply_setting(config, {name: value for name, value in setting.items() if name != "global_batch"})
    update = {
        **_split(batch, config.training, search.num_workers),
        "num_workers": search.num_workers,
        "max_steps": ends[-1],
        "epochs": float(ends[-1]),
        "eval_steps": ends,
        "logging_steps": max(1, ends[0] // 2),
    }
    return applied.model_copy(update={"training": applied.training.model_copy(update=update)})


def rung_ends(config: Config, num_examples: int, batch: int | None = None) -> list[int]:
    """Examples after which each rung ends, ascending: whole steps of every batch of the space, and of ``batch``.

    ``even`` rungs are equal; ``geometric`` ones end at ``num_examples`` / η^k, as far as there are steps for that.

    Raises:
        ConfigError: too few examples for whole steps of each batch.
    """
    search, unit = config.search, _unit(config, num_examples, batch or _global_batch(config.training))
    if search.rung_spacing == "even":
        part = max(unit, num_examples // search.rungs // unit * unit)
        return [part * rung for rung in range(1, search.rungs + 1)]
    parts = [num_examples // search.reduction_factor**above // unit for above in reversed(range(search.rungs))]
    return [max(rung, part) * unit for rung, part in enumerate(parts, 1)]


def layers_text(layers: Iterable[str] | Literal["all-linear"]) -> str:
    """``lora.target_modules`` as a value of a setting."""
    return layers if isinstance(layers, str) else "+".join(layers)


def _alpha(lora: LoraConfig, setting: Setting) -> float:
    """Without the last bits that dividing and multiplying by the rank leave behind."""
    own = lora.alpha / lora.r
    r, ratio = int(setting.get("r", lora.r)), float(setting.get("alpha_over_r", own))
    return lora.alpha if (r, ratio) == (lora.r, own) else float(f"{r * ratio:.12g}")


def _layers(named: str) -> list[str] | str:
    return named if named == "all-linear" else named.split("+")


def _global_batch(training: TrainingConfig) -> int:
    return training.batch_size * training.gradient_accumulation_steps * training.max_workers


def _split(batch: int, training: TrainingConfig, workers: int) -> dict[str, int]:
    """The global batch as equal passes of at most ``training.batch_size`` examples on each of ``workers``."""
    if batch % workers:
        raise ConfigError(
            f"global_batch={batch}: {workers} workers cannot share it out; choose a multiple of {workers}"
        )
    share = batch // workers
    micro = max(size for size in range(1, min(share, training.batch_size) + 1) if share % size == 0)
    return {"batch_size": micro, "gradient_accumulation_steps": share // micro}


def _unit(config: Config, num_examples: int, batch: int) -> int:
    """The least number of examples that is whole steps of every batch of the space."""
    sizes = sorted({batch, *_batches(config)})
    unit, there = math.lcm(*sizes), num_examples // config.search.rungs
    if len(sizes) > 1 and unit > there:
        raise ConfigError(
            f"search.space.global_batch: a rung of {there} examples ({num_examples} in {config.search.rungs} rungs) is "
            f"too small for whole steps of each of {', '.join(map(str, sizes))}, which take {unit}: raise "
            "search.max_train_samples, or choose batches that divide each other"
        )
    return unit


def _batches(config: Config) -> set[int]:
    """The global batches that the space may draw; none if it varies no batch, or by a function that only it knows."""
    space = config.search.space
    if space.global_batch is None or space.function is not None:
        return set()
    known = {known.global_batch for known in config.search.known if known.global_batch is not None}
    return {_global_batch(config.training), *space.global_batch} | known
