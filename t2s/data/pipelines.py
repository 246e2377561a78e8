"""From the ``data`` section of a configuration to a pipeline, by name or by ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from t2s.config import DataConfig
from t2s.data.core import Example, Pipeline
from t2s.errors import ConfigError, suggest
from t2s.masking import MASK
from t2s.sql.schema import render_schema
from t2s.storage import local_copy, remote

PIPELINES = {
    "wikisql": "t2s.data.wikisql:WikiSQLPipeline",
    "synthetic": "t2s.data.synthetic:SyntheticPipeline",
    "jsonl": "t2s.data.jsonl:JsonlPipeline",
}

log = logging.getLogger(__name__)


def build_pipeline(config: DataConfig) -> Pipeline:
    """Build the pipeline that ``data.pipeline`` names, with ``data.options`` as keywords.

    ``data.path``, ``data.cache_dir`` and ``data.skip_bad`` are passed to constructors that have parameters of
    these names.

    Raises:
        ConfigError: an unknown pipeline or option, or a missing ``data.path``; the message names the key.
    """
    built = _find(config.pipeline)
    pipeline: Pipeline = built(**_keywords(config, built))
    return pipeline


def data_path(config: DataConfig) -> Path | None:
    """``data.path`` on this machine: of what lies in object storage, a copy below ``data.cache_dir``."""
    address = remote(config.path) if config.path else None
    return local_copy(address, config.cache_dir) if address else config.path


def fingerprint(examples: Iterable[Example]) -> str:
    """16 hex digits of a SHA-256 over questions, schemas and SQL in their order: what the model can see."""
    digest = hashlib.sha256()
    rendered: dict[int, str] = {}
    for example in examples:
        schema = rendered.setdefault(id(example.schema), "") or render_schema(example.schema)
        rendered[id(example.schema)] = schema
        digest.update("\0".join((example.question, schema, example.sql, "")).encode())
    return digest.hexdigest()[:16]


def _find(name: str) -> Callable[..., Any]:
    module_name, colon, class_name = PIPELINES.get(name, name).partition(":")
    if not colon:
        known = ", ".join(PIPELINES)
        near = suggest(name, PIPELINES)
        raise ConfigError(f"data.pipeline: unknown pipeline {name!r}{near}; known: {known}, or package.module:Class")
    module = _import(name, module_name)
    found = getattr(module, class_name, None)
    if found is None:
        near = suggest(class_name, vars(module))
        raise ConfigError(f"data.pipeline: module {module_name!r} has no class {class_name!r}{near}")
    if not callable(getattr(found, "prepare", None)):
        raise ConfigError(f"data.pipeline: {name} has no method prepare() -> (train, val, test)")
    return found


def _import(name: str, module_name: str) -> Any:
    """Import a module, also from the directory that the command runs in."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"data.pipeline: {name} needs the package {error.name!r}; install it") from error
        raise ConfigError(
            f"data.pipeline: no module {module_name!r} (looked in {here} and the installed packages)"
        ) from error
    except ValueError as error:
        raise ConfigError(f"data.pipeline: {name!r} is not package.module:Class") from error


def _keywords(config: DataConfig, built: Callable[..., Any]) -> dict[str, Any]:
    """Options plus ``path`` and ``cache_dir``, checked against the constructor's signature."""
    _refuse_masked(config.options, "data.options")
    parameters = inspect.signature(built).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    own = {"path": data_path(config), "cache_dir": config.cache_dir, "skip_bad": config.skip_bad}
    options = [key for key in parameters if key not in own]
    for key in config.options:
        if key in own:
            raise ConfigError(f"data.options.{key}: set data.{key} instead")
        if key not in options and not takes_any:
            known = ", ".join(options) or "none"
            near = suggest(key, options)
            raise ConfigError(f"data.options.{key}: {config.pipeline} has no such option{near}; known: {known}")
    passed = {key: value for key, value in own.items() if key in parameters and value is not None}
    if config.path is not None and "path" not in passed:
        log.warning("data.path=%s has no effect: the pipeline %s takes no path", config.path, config.pipeline)
    if config.skip_bad and "skip_bad" not in passed:
        log.warning("data.skip_bad has no effect: the pipeline %s does not take it", config.pipeline)
    return _complete(config, parameters, {**passed, **config.options})


def _refuse_masked(value: Any, place: str) -> None:
    """The ``config.yaml`` of a run holds no secrets; used again, it must not pass for one that does."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_masked(inner, f"{place}.{key}")
    elif value == MASK:
        raise ConfigError(f"{place}: {MASK} stands where a secret was left out of a run's files; add {place}=VALUE")


def _complete(config: DataConfig, parameters: Any, keywords: dict[str, Any]) -> dict[str, Any]:
    for key, parameter in parameters.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and key not in keywords:
            place = "data.path" if key == "path" else f"data.options.{key}"
            raise ConfigError(f"{place}: the pipeline {config.pipeline} needs it")
    return keywords
