"""Resolve files and overrides into a :class:`~t2s.config.schema.Config`, and write one back as YAML.

Every message names the place (``file:line`` or the override), the key, what was found, what is allowed and the nearest
known name; all faults of a layer are listed, not only the first.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from t2s.config.reader import Dumper, Layer, printable, read_file, read_override, shown
from t2s.config.schema import Config
from t2s.errors import ConfigError, suggest

MAX_SHOWN = 20

log = logging.getLogger(__name__)


def load(files: Sequence[Path] = (), overrides: Iterable[str] = ()) -> Config:
    """Resolve ``defaults < files from left to right < overrides`` (each ``key.path=value``).

    Another ``data.pipeline`` than the layers before chose does not inherit their ``data.options`` and ``data.path``,
    which are words of the other one; all overrides are one layer here, in whatever order they stand.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong type, an impossible pair; the message
            names the file and line or the override, the key path, what was found and the nearest known key.
    """
    try:
        return _resolve(files, overrides)
    except ConfigError as error:  # it quotes names of files and keys, which may hold what a terminal would obey
        raise ConfigError(printable(str(error))) from None


def _resolve(files: Sequence[Path], overrides: Iterable[str]) -> Config:
    merged: dict[str, Any] = Config().model_dump()  # so that `a.b.low=1` keeps the default of a.b.high
    origins: dict[str, str] = {}
    for file in files:
        _add([read_file(Path(file))], merged, origins)
    _add([read_override(override) for override in overrides], merged, origins)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def dump(config: BaseModel) -> str:
    """The resolved configuration as YAML that :func:`load` reads back to an equal one."""
    return str(yaml.dump(config.model_dump(mode="json"), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def _add(layers: Sequence[Layer], merged: dict[str, Any], origins: dict[str, str]) -> None:
    """Merge one file, or all overrides."""
    unknown = (problem for layer in layers for problem in _unknown(Config, layer, layer.values))
    problems = list(islice(unknown, MAX_SHOWN + 1))  # looking for the nearest name takes its time
    if problems:
        raise ConfigError(_block(problems))
    _forget_other_pipeline(layers, merged, origins)
    for layer in layers:
        _merge(Config, merged, layer.values, origins, layer)


def _forget_other_pipeline(layers: Sequence[Layer], merged: dict[str, Any], origins: dict[str, str]) -> None:
    """Another pipeline starts with no options and no path, and says whose it does not take."""
    chosen = [layer for layer in layers if "pipeline" in layer.values.get("data", {})]
    if not chosen or chosen[-1].values["data"]["pipeline"] == merged["data"]["pipeline"]:
        return
    said = {path: origins.pop(path) for path in list(origins) if _is_part(path, "data.options", "data.path")}
    if said:
        where = ", ".join(dict.fromkeys(said.values()))
        log.warning(
            "%s: another data.pipeline than %r, so %s of %s no longer hold",
            chosen[-1].place("data.pipeline"), merged["data"]["pipeline"], ", ".join(said), where,
        )  # fmt: skip
    merged["data"] |= {"options": {}, "path": None}


def _is_part(path: str, *of: str) -> bool:
    return any(path == whole or path.startswith(f"{whole}.") for whole in of)


def _merge(
    model: type[BaseModel] | None,
    into: dict[str, Any],
    values: Mapping[str, Any],
    origins: dict[str, str],
    layer: Layer,
    at: str = "",
) -> None:
    """Sections and free mappings (``model`` is None) merge key by key; ``{}`` clears a free mapping."""
    for key, value in values.items():
        path = f"{at}.{key}" if at else key
        section = _section(model, key)
        if isinstance(value, dict) and isinstance(into.get(key), dict) and (value or section):
            _merge(section, into[key], value, origins, layer, path)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value
            origins[path] = layer.place(path)


def _section(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The class of a key that is a section, also of one that may be None; else None."""
    annotation = model.model_fields[key].annotation if model else None
    if get_origin(annotation) is UnionType and len(get_args(annotation)) == 2 and get_args(annotation)[1] is type(None):
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _unknown(model: type[BaseModel], layer: Layer, values: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Unknown keys and sections that are none, found before validation, so that the nearest name can be told."""
    for key, value in values.items():
        path = f"{at}.{key}" if at else key
        if key not in model.model_fields:
            yield f"{layer.place(path)}: unknown key {_quoted(path)}{_nearest(model, key)}"
            continue
        section = _section(model, key)
        if value is None and section is not model.model_fields[key].annotation:
            continue  # a section that may be None, or no section
        if section and not isinstance(value, dict):
            known = ", ".join(section.model_fields)
            yield f"{layer.place(path)}: {path} is a section of keys, found {shown(value)}; known there: {known}"
        elif section:
            yield from _unknown(section, layer, value, path)


def _nearest(model: type[BaseModel], key: str) -> str:
    """The nearest key of this section, or the same key in another one, or what is known here."""
    if hint := suggest(key, model.model_fields):
        return hint
    elsewhere = [path for path in field_paths(Config) if path.rsplit(".", 1)[-1] == key]
    return suggest(elsewhere[0], elsewhere) if elsewhere else f"; known here: {', '.join(model.model_fields)}"


def field_paths(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """The path of every key below ``model``, sections included."""
    for name in model.model_fields:
        path = f"{at}.{name}" if at else name
        yield path
        if section := _section(model, name):
            yield from field_paths(section, path)


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    problems = []
    for detail in error.errors(include_url=False, include_context=False):
        path = ".".join(str(part) for part in detail["loc"] if not str(part).startswith(_UNION_BRANCHES))
        message = _SUBJECT.sub("", detail["msg"]).removesuffix(" for <class 'pathlib.Path'>")
        expected = message if detail["type"] == "value_error" else f"{message}, {_found(detail)}"
        place = _origin(path, origins) if path else _origins_named(message, origins)
        # A message about several settings names them itself.
        subject = f"{_quoted(path)}: " if path and not expected.startswith(f"{path}.") else ""
        problems.append(f"{place}: {subject}{expected}")
    return _block(problems)


_UNION_BRANCHES = ("list[", "literal[", "bool", "constrained-", "function-")
"""How pydantic names the alternatives of a union in a place; a user's key path has none of them."""


_SUBJECT = re.compile(r"^(Value error, |(Input|String|List|Dictionary) (?=should|is))")


def _found(detail: ErrorDetails) -> str:
    """What was found, and the cure where YAML made something else of a text."""
    value, hint = detail["input"], ""
    if detail["type"] in ("string_type", "literal_error") and isinstance(value, bool | int | float):
        what = "yes, no, on and off as true or false" if isinstance(value, bool) else "this as a number"
        hint = f" (YAML reads {what}: put text in quotes)"
    return f"found {shown(value)}{hint}"


def _quoted(path: str) -> str:
    plain = path.isprintable() and len(path) <= 100 and all(path.split("."))
    return path if plain else shown(path)


def _block(problems: Sequence[str]) -> str:
    unique = list(dict.fromkeys(problems))
    more = ["... and more"] if len(unique) > MAX_SHOWN else []
    return "\n".join([*unique[:MAX_SHOWN], *more])


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """Who said it: the place that set ``path`` or a section around it, else those that set parts of it."""
    parts = path.split(".")
    around = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    inside = dict.fromkeys(origin for key, origin in origins.items() if key.startswith(f"{path}."))
    return next((origins[key] for key in around if key in origins), ", ".join(inside) or "configuration")


def _origins_named(message: str, origins: Mapping[str, str]) -> str:
    """Where the settings stand that a message about several of them names."""
    named = (path for path in field_paths(Config) if re.search(rf"\b{re.escape(path)}\b(?!\.\w)", message))
    places = dict.fromkeys(origins[path] for path in named if path in origins)
    return ", ".join(places) or "configuration"
