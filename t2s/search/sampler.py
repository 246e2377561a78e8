"""Optuna's samplers by name: ``tpe``, ``random``, or any class of ``optuna.samplers``."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from t2s.config import Config
from t2s.config.reader import shown
from t2s.errors import ConfigError, SetupError, T2SError, suggest

SHORT = {"tpe": "TPESampler", "random": "RandomSampler"}
# TPE's default of ten random trials first would make a short search random.
_TPE = {"n_startup_trials": 4, "multivariate": True}
_DRAWS = 12
"""Past every sampler's random start, ten trials by default."""


def build_sampler(config: Config, seed: int | None = None) -> Any:
    """The sampler of ``search.sampler`` with ``search.sampler_options``; seeded with ``seed``, or with ``config.seed``.

    Raises:
        ConfigError: no such sampler, or options that its constructor refuses.
        SetupError: the sampler needs a package that is not installed.
    """
    import optuna

    search = config.search
    made = getattr(optuna.samplers, _class_name(search.sampler))
    parameters = inspect.signature(made).parameters
    for option in search.sampler_options:
        if option not in parameters:
            near, known = suggest(option, parameters), ", ".join(parameters) or "none"
            at = f"search.sampler_options.{option}"
            raise ConfigError(f"{at}: {made.__name__} has no such option{near}; known: {known}")
    own = dict(_TPE) if made is optuna.samplers.TPESampler else {}
    seeded = {"seed": config.seed if seed is None else seed} if "seed" in parameters else {}
    try:
        with warnings.catch_warnings():  # what Optuna calls experimental is still asked for by name
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return made(**(own | seeded | search.sampler_options))
    except ImportError as error:
        raise _missing(search.sampler, error) from error
    except Exception as error:  # fault boundary: the constructors' own checks raise what they like
        options = shown(search.sampler_options, 200)
        raise ConfigError(f"search.sampler_options={options}: {made.__name__} refuses: {_first_line(error)}") from error


def try_sampler(config: Config, space: Callable[[Any], Any]) -> None:
    """Draw from ``space`` some times, in memory: what a sampler lacks or refuses shows before any training.

    Raises:
        ConfigError, SetupError: as :func:`build_sampler`.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, goals = config.search.sampler, len(config.search.objectives)
    study = optuna.create_study(directions=["minimize"] * goals, sampler=build_sampler(config))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number in range(_DRAWS):
                trial = study.ask()
                space(trial)
                study.tell(trial, [float(number)] * goals)
    except T2SError:
        raise
    except ImportError as error:
        raise _missing(name, error) from error
    except Exception as error:  # fault boundary: samplers raise what they like
        raise ConfigError(f"search.sampler={name}: does not draw from this space: {_first_line(error)}") from error


def _missing(name: str, error: ImportError) -> SetupError:
    cure = f"pip install {error.name}" if error.name else "install it"
    return SetupError(f"search.sampler={name}: needs a package that is missing: {cure}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _class_name(name: str) -> str:
    import optuna

    base, there = optuna.samplers.BaseSampler, vars(optuna.samplers)
    classes = {key for key, value in there.items() if isinstance(value, type) and issubclass(value, base)}
    known = sorted({*(key for key in classes if not key.startswith("Base")), *SHORT})
    if name not in known:
        raise ConfigError(f"search.sampler: unknown sampler {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    return SHORT.get(name, name)
