"""The space of a search: which settings Optuna may propose.

What ``search.space`` leaves out stays as configured. The configured setting and the known ones (``search.known``) are
always inside: choices and ranges are extended by them. A space that YAML cannot say is a function, which draws from an
Optuna trial and returns a setting (``search.space.function``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t2s.config import Config
from t2s.config.schema import Range, SettingConfig
from t2s.errors import ConfigError
from t2s.model.base import BaseFiles
from t2s.search.function import NamedFunction
from t2s.search.sampler import try_sampler
from t2s.search.setting import (
    NAMES,
    Setting,
    Value,
    apply_setting,
    as_overrides,
    configured,
    layers_text,
    trial_config,
)
from t2s.train.record import differences, flat, identity

__all__ = [
    "Setting",
    "Space",
    "apply_setting",
    "as_overrides",
    "check_space",
    "default_setting",
    "define_space",
    "enqueue",
    "known_settings",
    "space_difference",
    "space_fingerprint",
    "trial_config",
]

KNOWN = "t2s_known"
"""The user attribute of an Optuna trial that holds a setting to try as it is."""


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, evenly or evenly in the logarithm."""

    low: float
    high: float
    log: bool


Dimension = Interval | tuple[Value, ...]
"""An interval, or choices."""


@dataclass(frozen=True)
class Space:
    """Optuna's define-by-run function, as an object that can be pickled: called with a trial, it draws a setting."""

    dimensions: Mapping[str, Dimension]
    function: NamedFunction | None = None

    def __call__(self, trial: Any) -> Setting:
        """Draw one setting; a known one, put into the study by :func:`enqueue`, is taken as it is."""
        if self.function is None:
            return {name: _draw(trial, name, dimension) for name, dimension in self.dimensions.items()}
        known = trial.user_attrs.get(KNOWN)
        return dict(known) if known is not None else self.function(trial)


def default_setting(config: Config) -> Setting:
    """What the configuration itself says of all that the space varies; it is always the first trial."""
    whole = configured(config)
    return {name: whole[name] for name in _varied(config)}


def known_settings(config: Config) -> list[Setting]:
    """The configured setting, then those of ``search.known``, each once; what they leave out is as configured."""
    default = default_setting(config)
    settings = [default]
    for known in config.search.known:
        setting = default | _said(known)
        if setting not in settings:
            settings.append(setting)
    return settings


def define_space(config: Config) -> Space:
    """The space of ``search.space``, extended by the configured setting and the known ones."""
    if config.search.space.function is not None:
        return Space({}, NamedFunction(config.search.space.function))
    return Space({name: _dimension(config, name) for name in _varied(config)})


def enqueue(study: Any, config: Config) -> None:
    """Have ``study`` try the configured setting first, then the known ones."""
    for setting in known_settings(config):
        if config.search.space.function is None:
            study.enqueue_trial(setting)
        else:  # a function may draw under other names than those of the setting that it returns
            study.enqueue_trial({}, user_attrs={KNOWN: setting})


def check_space(config: Config, files: BaseFiles) -> None:
    """Refuse before anything starts what cannot be searched on the base ``files``.

    Raises:
        ConfigError: a single point, a rank that the base has no room for, layers that it does not have, a global batch
            that workers cannot share, an adapter that slots cannot hold, a sampler or a function that is not there.
    """
    space = define_space(config)
    settings = _corners(config, space)
    if len(settings) == 1:
        told = ", ".join(f"{name}={value}" for name, value in settings[0].items()) or "nothing is varied"
        raise ConfigError(
            f"search.space: a single point, the configured one ({told}): give a name two choices, or a range"
        )
    _check_modes(config, settings)
    try_sampler(config, space)
    _check_base(config, settings, files)


def space_fingerprint(config: Config) -> str:
    """What makes two searches one search, as a line of JSON: compare with :func:`space_difference`."""
    everything = flat(config)
    kept = {key: value for key, value in identity(config).items() if not _is_part(key, _SET_BY_THE_SEARCH)}
    kept |= {key: value for key, value in everything.items() if _is_part(key, _OWN)}
    return json.dumps(kept, sort_keys=True)


def space_difference(old: str, new: str) -> list[str]:
    """A line for each setting in which two fingerprints differ; none if they are one search."""
    return differences(json.loads(old), json.loads(new))


_OWN = (
    "search.mode", "search.space", "search.rungs", "search.rung_spacing", "search.reduction_factor",
    "search.max_train_samples", "search.max_val_samples", "search.ex_rungs", "search.ex_samples",
    "search.objectives", "search.num_workers",
    "inference.max_new_tokens", "inference.grammar", "inference.values", "inference.execution_guided",
    "inference.candidates", "inference.drop_empty", "inference.weights",
)  # fmt: skip
_SET_BY_THE_SEARCH = (
    "training.epochs", "training.max_steps", "training.max_train_samples", "training.max_val_samples",
    "training.eval_steps", "training.eval_ex_samples", "training.metric_for_best", "training.early_stopping_patience",
)  # fmt: skip


def _is_part(key: str, of: tuple[str, ...]) -> bool:
    return any(key == whole or key.startswith(f"{whole}.") for whole in of)


def _varied(config: Config) -> list[str]:
    """The names that the space varies, in the order of :data:`NAMES`."""
    space = config.search.space
    if space.function is not None:
        names = NamedFunction(space.function).names()
        return [name for name in NAMES if name in names]
    return [name for name in NAMES if getattr(space, name) is not None]


def _said(known: SettingConfig) -> Setting:
    said = known.model_dump(exclude_none=True)
    return said | ({"target_modules": layers_text(said["target_modules"])} if "target_modules" in said else {})


def _dimension(config: Config, name: str) -> Dimension:
    values = [setting[name] for setting in known_settings(config)]
    given = getattr(config.search.space, name)
    if isinstance(given, Range):
        numbers = [float(value) for value in values]
        return Interval(min(given.low, *numbers), max(given.high, *numbers), given.log)
    if name != "target_modules":
        return tuple(sorted({*given, *values}))
    layers: dict[frozenset[str], str] = {}
    # The configured spelling first: the same layers in another order are the same choice.
    for choice in [*map(str, values), *map(layers_text, given)]:
        layers.setdefault(frozenset(choice.split("+")), choice)
    return tuple(layers.values())


def _draw(trial: Any, name: str, dimension: Dimension) -> Value:
    if isinstance(dimension, Interval):
        return float(trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log))
    choice: Value = trial.suggest_categorical(name, dimension)
    return choice


def _corners(config: Config, space: Space) -> list[Setting]:
    """Settings that between them show every choice, both ends of every range, and each rank with each
    initialisation; of a function, some draws.
    """
    settings = known_settings(config)
    if space.function is not None:
        settings += space.function.probe()
    for name, dimension in space.dimensions.items():
        ends = (dimension.low, dimension.high) if isinstance(dimension, Interval) else dimension
        settings += [settings[0] | {name: value} for value in ends]
    if "r" in space.dimensions and isinstance(inits := space.dimensions.get("init"), tuple):
        ranks = [setting["r"] for setting in settings]
        settings += [settings[0] | {"r": rank, "init": init} for rank in ranks for init in inits]
    return [setting for at, setting in enumerate(settings) if setting not in settings[:at]]


def _check_modes(config: Config, settings: list[Setting]) -> None:
    for setting in settings:
        short = trial_config(config, setting, 2**31)  # refuses a batch that the workers cannot share out
        apply_setting(config, setting)
        if config.search.mode == "slots" and short.lora.use_dora:
            raise ConfigError("lora.use_dora=true needs search.mode=workers: a slot holds a plain low-rank adapter")
        if config.search.mode == "slots" and short.lora.init in ("pissa", "olora"):
            raise ConfigError(
                f"init={short.lora.init} needs search.mode=workers: it changes the base, which slots share; "
                "leave it out of lora.init and search.space.init"
            )
        if short.lora.init == "orthogonal" and short.lora.r % 2:
            raise ConfigError(f"search.space: init=orthogonal needs even ranks, and r={short.lora.r} may be drawn")
        if short.lora.init in ("pissa", "olora", "orthogonal") and config.quantization.load_in_4bit:
            raise ConfigError(
                f"search.space: init={short.lora.init} works on full weights: set quantization.load_in_4bit=false"
            )


def _check_base(config: Config, settings: list[Setting], files: BaseFiles) -> None:
    from t2s.model.skeleton import adapted_layers, build_skeleton

    model = build_skeleton(files)
    hidden = int(model.config.hidden_size)
    for setting in settings:
        lora = apply_setting(config, setting).lora
        adapted_layers(model, lora)
        if lora.r > hidden:
            raise ConfigError(
                f"search.space: r={lora.r} is above {hidden}, the hidden size of {files.name}: a larger rank adds "
                "nothing; choose smaller ones"
            )
