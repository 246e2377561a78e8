"""A space that is a user's function: ``search.space.function: package.module:function`` (define-by-run).

The function is called with an Optuna trial, draws what it wants under whatever names, and returns a setting as a
mapping. It is named, not pickled, so that a search can be resumed by another process.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from t2s.config.reader import shown
from t2s.config.schema import SettingConfig
from t2s.errors import ConfigError, suggest
from t2s.search.setting import NAMES, Setting, layers_text

KEY = "search.space.function"
PROBES = 16
"""Random draws that tell which names a function varies."""


@dataclass(frozen=True)
class NamedFunction:
    """``package.module:function``, found when it is first called."""

    name: str

    def __call__(self, trial: Any) -> Setting:
        """Draw a setting.

        Raises:
            ConfigError: the function cannot be found, or returns what is no setting.
        """
        return _checked(self.name, _find(self.name)(trial))

    def names(self) -> frozenset[str]:
        """What the function varies, by :data:`PROBES` random draws."""
        return frozenset(name for setting in self.probe() for name in setting)

    def probe(self) -> tuple[Setting, ...]:
        """The settings of :data:`PROBES` random draws."""
        return _probe(self.name)


@lru_cache(maxsize=8)
def _probe(name: str) -> tuple[Setting, ...]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    function = NamedFunction(name)
    return tuple(_called(name, function, study.ask()) for _ in range(PROBES))


def _called(name: str, function: NamedFunction, trial: Any) -> Setting:
    try:
        return function(trial)
    except ConfigError:
        raise
    except Exception as error:  # fault boundary: a user's function may raise anything
        raise ConfigError(f"{KEY}: {name} raises {type(error).__name__}: {_first_line(error)}") from error


@lru_cache(maxsize=8)
def _find(name: str) -> Callable[[Any], Any]:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{KEY}: no module {error.name!r} (looked in {here} and the installed packages)") from error
    except Exception as error:  # fault boundary: a user's module may raise anything
        problem = f"{type(error).__name__}: {_first_line(error)}"
        raise ConfigError(f"{KEY}: module {module_name!r} cannot be imported: {problem}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        near = suggest(attribute, [key for key, value in vars(module).items() if callable(value)])
        raise ConfigError(f"{KEY}: module {module_name!r} has no function {attribute!r}{near}")
    return found


def _checked(name: str, returned: object) -> Setting:
    """What a function returned, as a setting with the types and bounds of the configuration."""
    if not isinstance(returned, Mapping):
        raise ConfigError(f"{KEY}: {name} returns {shown(returned)}, expected a mapping such as {{'r': 16}}")
    for key in returned:
        if key not in NAMES:
            known = ", ".join(NAMES)
            raise ConfigError(f"{KEY}: {name} returns unknown {shown(key)}{suggest(str(key), NAMES)}; known: {known}")
    layers = returned.get("target_modules")
    if isinstance(layers, str) and layers != "all-linear":
        returned = {**returned, "target_modules": layers.split("+")}
    try:
        setting = SettingConfig.model_validate(dict(returned)).model_dump(exclude_none=True)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False)[0]
        key = detail["loc"][0]
        problem = detail["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{KEY}: {name} returns {key}={shown(detail['input'])}: {problem}") from None
    return setting | ({"target_modules": layers_text(setting["target_modules"])} if "target_modules" in setting else {})


def _first_line(error: BaseException) -> str:
    return shown((str(error).strip().splitlines() or [""])[0], 200)
