"""Read YAML text strictly, and remember on which line each key stands.

Only mappings, lists and plain values get through: aliases, merge keys, duplicate keys, keys that are no text, text
that is no Unicode, more than :data:`MAX_DEPTH` levels and files over 100 kB are refused. ``2e-4`` is a number
(YAML 1.1 reads it as text); ``010``, ``1:30`` and ``2024-01-01`` are text (YAML 1.1 reads 8, 90 and a date).

Not covered: what the keys mean; that is the schema's.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from t2s.errors import ConfigError

MAX_BYTES = 100_000
MAX_DEPTH = 20

_RESOLVED_HERE = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp")}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|(?:0|[1-9][0-9_]*)[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)


@dataclass(frozen=True)
class Layer:
    """What one file or override says: nested values, and the place (``file:line``) of each key path."""

    name: str
    values: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Where ``path`` or the nearest section around it stands; else the file itself."""
        parts = path.split(".")
        around = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.places[key] for key in around if key in self.places), self.name)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what a configuration has no use for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not allowed; write the value out", event)
        if getattr(event, "tag", None) not in (None, "!"):
            raise _refusal(
                f"tags ({event.tag.replace('tag:yaml.org,2002:', '!!')}) are not allowed; write plain values", event
            )
        if self._depth >= MAX_DEPTH:
            raise _refusal(f"nested deeper than {MAX_DEPTH} levels", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):  # a number of more digits than Python converts
            raise _refusal("this number has too many digits", node) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self._key(key_node)
            if key in seen:
                raise _refusal(f"duplicate key {shown(key)}", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def _key(self, node: Any) -> str:
        """The text of a key; anything else that YAML makes of it is refused."""
        if not isinstance(node, yaml.ScalarNode):
            raise _refusal("a key is one word, not a list or mapping", node)
        if node.tag == "tag:yaml.org,2002:merge":
            raise _refusal("merge keys (<<) are not allowed; stack files with -c instead", node)
        if node.tag != "tag:yaml.org,2002:str":
            raise _refusal(f"the key {shown(node.value)} is {_kind(node.tag)} to YAML; put it in quotes", node)
        return str(node.value)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _RESOLVED_HERE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Dumper(yaml.SafeDumper):
    """Puts text in quotes that the reader would take for a number, such as ``0e0``."""


for _kind_of in (_Loader, Dumper):
    _kind_of.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+0123456789.")
    )
    _kind_of.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_INT.pattern})$"), list("-+0123456789"))


def read_file(file: Path) -> Layer:
    """The layer of a YAML file. Raise :class:`ConfigError` naming file and line for whatever is no configuration."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{file}: is a directory, expected a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{shown(str(file))}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{file}: over {MAX_BYTES} bytes; a configuration is a short text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: byte {raw[error.start]:#04x} is not UTF-8 text; save it as UTF-8") from None
    values, lines = _read(text, str(file))
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{file}:1: expected `section:` keys, found {_named(values)}")
    return Layer(str(file), values or {}, {path: f"{file}:{line}" for path, line in lines.items()})


def read_override(override: str) -> Layer:
    """The layer of ``key.path=value``; the value is read as YAML, and is text if it is none."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"{shown(override)}: an override is key.path=value, for example training.learning_rate=1e-3")
    _check_text(override, shown(override))
    try:
        value = _read(text, override)[0]
    except ConfigError:
        value = text
    for key in reversed(keys):
        value = {key: value}
    name = override if len(override) <= 100 and override.isprintable() else shown(override)
    return Layer(name, value)


def shown(value: Any, limit: int = 60) -> str:
    """``value`` for a message: printable, on one line, cut to about ``limit`` characters."""
    try:
        text = ascii(value) if isinstance(value, str) and not _is_unicode(value) else repr(value)
    except ValueError:  # an integer of thousands of digits has no decimal text in Python
        text = f"a number of about {value.bit_length() // 3} digits"
    return text if len(text) <= limit else f"{text[: limit - 2]}…{text[-1]}"


def printable(text: str) -> str:
    """``text`` with control characters and half characters as escapes; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _read(text: str, name: str) -> tuple[Any, dict[str, int]]:
    """The values and the line of each key path."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: {_problem(error)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}{_line_of(error, text)}: {_problem(error)}") from None
    lines = dict(_lines(node, ""))
    for path, value in _texts(values, ""):
        _check_text(value, f"{name}:{lines.get(path, 1)}: {path}")
    return values, lines


def _lines(node: yaml.Node, at: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = f"{at}.{key.value}" if at else str(key.value)
        yield path, key.start_mark.line + 1
        yield from _lines(value, path)


def _texts(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every text below ``value``, keys included, with its key path."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield at, str(key)
            yield from _texts(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, at)


def _check_text(text: str, place: str) -> None:
    """No NUL (no path or name may hold one) and no half characters (nothing can print them)."""
    if "\0" in text:
        raise ConfigError(f"{place}: {shown(text)} holds a NUL character; remove it")
    if not _is_unicode(text):
        raise ConfigError(f"{place}: {shown(text)} is not Unicode text; save or type it as UTF-8")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _refusal(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not valid YAML"
    if "character '\\t'" in problem:
        return f"{problem}; indent with spaces, not tabs"
    if problem == "but found another document":
        return "a second document (---); a configuration is one"
    return str(problem)


def _line_of(error: yaml.YAMLError, text: str) -> str:
    position = getattr(error, "position", None)
    return f":{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""


def _kind(tag: str) -> str:
    return {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}[tag.rsplit(":", 1)[-1]]


def _named(value: Any) -> str:
    return f"a list ({shown(value)})" if isinstance(value, list) else shown(value)
