"""Resolve files and overrides into a :class:`~t2s.config.schema.Config`, and write one back as YAML.

The YAML reader is the safe one, made stricter: duplicate keys, aliases and files over a megabyte are refused,
and ``2e-4`` is a number (YAML 1.1 reads it as text).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from t2s.config.schema import Config
from t2s.errors import ConfigError, suggest

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases (no billion laughs) and without silent duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key!r}", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789"),
)


def load(files: Sequence[Path] = (), overrides: Iterable[str] = ()) -> Config:
    """Resolve ``defaults < files from left to right < overrides`` (each ``key.path=value``).

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong type, an impossible pair; the message
            names the file or the override, the key path, what was found and the nearest known key.
    """
    merged: dict[str, Any] = Config().model_dump()  # so that `a.b.low=1` keeps the default of a.b.high
    origins: dict[str, str] = {}
    for file in files:
        layer = _read(Path(file))
        _check_keys(Config, layer, str(file))
        _merge(merged, layer, origins, str(file))
    for override in overrides:
        layer = _parse_override(override)
        _check_keys(Config, layer, override)
        _merge(merged, layer, origins, override)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def dump(config: BaseModel) -> str:
    """The resolved configuration as YAML that :func:`load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: over {MAX_BYTES} bytes; a configuration is a short text file")
        raw = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{file}: is a directory, expected a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {_yaml_problem(error)}") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{file}: not a configuration: {error}") from None
    return _mapping(raw, str(file))


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{getattr(error, 'problem', None) or 'not valid YAML'}"


def _mapping(raw: Any, place: str) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{place}: expected `section:` keys, found {type(raw).__name__}")
    return raw


def _parse_override(override: str) -> dict[str, Any]:
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"{override!r}: an override is key.path=value, for example training.learning_rate=1e-3")
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        value = text
    for key in reversed(keys):
        value = {key: value}
    return value


def _merge(into: dict[str, Any], layer: Mapping[str, Any], origins: dict[str, str], origin: str, at: str = "") -> None:
    for key, value in layer.items():
        path = f"{at}.{key}" if at else key
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, origins, origin, path)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value
            origins[path] = origin


def _check_keys(model: type[BaseModel], layer: Mapping[str, Any], origin: str, at: str = "") -> None:
    """Refuse unknown keys before validation, so that the message can suggest the nearest one."""
    for key, value in layer.items():
        path = f"{at}.{key}" if at else str(key)
        if key not in model.model_fields:
            hint = suggest(str(key), model.model_fields) or f"; known here: {', '.join(model.model_fields)}"
            raise ConfigError(f"{origin}: unknown key {path}{hint}")
        annotation = model.model_fields[key].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not isinstance(value, dict):
                raise ConfigError(f"{origin}: {path} is a section of keys, found {value!r}")
            _check_keys(annotation, value, origin, path)


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for detail in error.errors(include_url=False, include_context=False):
        path = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        found = "" if detail["type"] == "value_error" else f", found {detail['input']!r}"
        lines.append(f"{_origin(path, origins)}: {path + ': ' if path else ''}{message}{found}")
    return "\n".join(dict.fromkeys(lines))


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """Who said it: the file or override that set ``path`` or a section around it, else those that set parts of it."""
    parts = path.split(".")
    around = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    inside = dict.fromkeys(origin for key, origin in origins.items() if not path or key.startswith(f"{path}."))
    return next((origins[key] for key in around if key in origins), ", ".join(inside) or "configuration")
