"""The reference of all settings as Markdown, generated from the schema: ``t2s config docs > docs/configuration.md``.

The docstring under a field is the only text about it; a test compares the page with what is generated.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from t2s.config.schema import Config

_HEAD = """# Configuration

Generated from `t2s/config/schema` by `t2s config docs`; change the docstrings there.

A setting is `section.key` in a YAML file (`-c FILE`, which may be repeated) or `section.key=value` on the command line.
Precedence: defaults < files from left to right < `key.path=value`. `t2s config show` prints what results. Unknown keys,
wrong types, numbers out of range and settings that cannot go together are refused with file and line, exit code 2.

- A layer that chooses another `data.pipeline` than the layers before starts `data.options` and `data.path` afresh, and
  says so; `data.options={}` and `serve.databases={}` clear what earlier layers set.
- `2e-4` is a number; `010` and `1:30` are text, not 8 and 90. Aliases, merge keys, tags and duplicate keys are refused.
"""


def reference() -> str:
    """The whole page."""
    blocks = [_HEAD, *_section("Top level", Config, "")]
    for name, field in Config.model_fields.items():
        if _is_section(field.annotation):
            blocks += _section(f"`{name}`", field.annotation, name)
    return "\n".join(blocks)


def _section(title: str, model: Any, at: str) -> Iterator[str]:
    about = "" if model is Config else " ".join((model.__doc__ or "").split())
    yield f"## {title}\n"
    if about:
        yield f"{about}\n"
    yield "| key | type | default | what it is |\n| --- | --- | --- | --- |"
    yield from _rows(model, at)
    yield ""


def _rows(model: Any, at: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{at}.{name}" if at else name
        if at and _is_section(field.annotation):
            yield f"| `{path}` | section | | {_cell(field.description or field.annotation.__doc__ or '')} |"
            yield from _rows_of_default(field, path)
        elif not _is_section(field.annotation):
            yield _row(path, field, None if field.is_required() else field.get_default(call_default_factory=True))


def _rows_of_default(field: FieldInfo, path: str) -> Iterator[str]:
    """An inner section's keys have the defaults that the outer one gives them."""
    inner: Any = _without_none(field.annotation)
    default = field.get_default(call_default_factory=True)
    for name, own in inner.model_fields.items():
        if _is_section(own.annotation):
            about = _cell(own.description or "")
            if getattr(default, name) is None:
                yield f"| `{path}.{name}` | section or none | none | {about} |"
                yield from _rows(_without_none(own.annotation), f"{path}.{name}")
            else:
                yield f"| `{path}.{name}` | section | | {about} |"
                yield from _rows_of_default(own, f"{path}.{name}")
        else:
            yield _row(f"{path}.{name}", own, getattr(default, name))


def _row(path: str, field: FieldInfo, default: Any) -> str:
    kind = _type(field.annotation, field.metadata)
    return f"| `{path}` | {kind} | {_default(default)} | {_cell(field.description or '')} |"


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "`" + _cell(f"{value:g}" if isinstance(value, float) else str(value)) + "`"


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [found for each in arguments[1:] for found in getattr(each, "metadata", [each])]
        return _type(arguments[0], [*metadata, *inner])
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each, metadata if each is not type(None) else []) for each in arguments)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin is list:
        return f"list of {_type(arguments[0], [])}"
    if _is_section(annotation):
        return f"sections of {', '.join(f'`{name}`' for name in annotation.model_fields)}"
    if origin is dict:
        return "names to values" if arguments[1] is Any else f"names to {_type(arguments[1], [])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", type(None): "none"}
    return f"{names[annotation]}{_bounds(metadata)}"


def _bounds(metadata: list[Any]) -> str:
    signs = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}
    told = [
        f"{sign} {getattr(each, kind.__name__.lower()):,}"
        for each in metadata
        for kind, sign in signs.items()
        if isinstance(each, kind) and getattr(each, kind.__name__.lower()) < 2**31 - 1
    ]
    return f" {', '.join(told)}" if told else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def _is_section(annotation: Any) -> bool:
    return isinstance(_without_none(annotation), type) and issubclass(_without_none(annotation), BaseModel)


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``; everything else as it is."""
    inner = get_args(annotation) if isinstance(annotation, types.UnionType) else ()
    return inner[0] if len(inner) == 2 and inner[1] is type(None) else annotation
