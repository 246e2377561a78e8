"""The reference of all commands as Markdown, generated: ``python -m t2s.cli.reference > docs/commands.md``.

A command's docstring and the help of its arguments and options are the only texts about them; a test compares the
page with what is generated.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.main import get_command

from t2s import errors
from t2s.cli.main import app
from t2s.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, T2SError

_HEAD = """# Commands

Generated from `t2s/cli` by `python -m t2s.cli.reference`; change the help there. `t2s COMMAND --help` prints the same.

`KEY.PATH=VALUE` is any setting of [configuration.md](configuration.md). Precedence: defaults < files (`-c`) from left
to right < `KEY.PATH=VALUE` < a command's own options. Results go to standard output, all else to standard error.
"""
_ANSWER_IS_NO = " Also where the answer is no: a promotion refused, a node down, SQL that did not run."


def reference() -> str:
    """The whole page."""
    root: Any = get_command(app)
    blocks = [_HEAD, *_contents(root), *_exit_codes(), "## `t2s`\n", *_rows(root, ())]
    for words, command in commands(root):
        blocks += _command(words, command)
    return "\n".join(blocks)


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command and group below ``command``, with the words that name it after ``t2s``."""
    for name, found in getattr(command, "commands", {}).items():
        if not found.hidden:
            yield (*words, name), found
            yield from commands(found, (*words, name))


def _contents(root: Any) -> Iterator[str]:
    yield "| command | what it does |\n| --- | --- |"
    for words, command in commands(root):
        if not getattr(command, "commands", None):
            yield f"| [`t2s {' '.join(words)}`](#t2s-{'-'.join(words)}) | {_cell(command.help or '')} |"
    yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n\n| code | when |\n| --- | --- |"
    yield f"| {EXIT_OK} | It did what was asked. |"
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, T2SError)]
    for code in sorted({kind.exit_code for kind in kinds}):
        told = [_cell(kind.__doc__ or "") for kind in kinds if kind.exit_code == code and kind is not T2SError]
        yield f"| {code} | {' '.join(told)}{_ANSWER_IS_NO if code == EXIT_FAILED else ''} |"
    yield f"| {EXIT_INTERRUPTED} | Ctrl-C. |\n"


def _command(words: tuple[str, ...], command: Any) -> Iterator[str]:
    name = " ".join(("t2s", *words))
    yield f"## `{name}`\n\n{' '.join((command.help or '').split())}\n"
    if not getattr(command, "commands", None):
        arguments = [_argument(each) for each in command.params if not _is_option(each)]
        yield f"```\n{' '.join((name, '[OPTIONS]', *arguments))}\n```\n"
        yield from _rows(command, words)


def _rows(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    """A table of the arguments and options; typer's own (``--help``, completion) are everybody's and stand once."""
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    params = [each for each in command.params if not getattr(each, "hidden", False)]
    if params:
        yield f"| {'option' if not words else 'argument or option'} | default | what it is |\n| --- | --- | --- |"
        for each in params:
            yield f"| {_named(each, hints.get(each.name))} | {_default(each)} | {_cell(each.help or '')} |"
        yield ""


def _named(param: Any, hint: Any) -> str:
    if not _is_option(param):
        return f"`{_argument(param)}`"
    value = "" if param.is_flag else f" {_value(param, hint)}"
    names = ", ".join(f"`{name}{value}`" for name in param.opts)
    off = ", ".join(f"`{name}`" for name in param.secondary_opts)
    return f"{names}, {off}" if off else names


def _argument(param: Any) -> str:
    return str(param.metavar or (param.name.upper() if param.required else f"[{param.name.upper()}]"))


def _value(param: Any, hint: Any) -> str:
    """The placeholder of an option's value, with its least and greatest."""
    if param.metavar:
        return str(param.metavar)
    kind, *about = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) in (Union, types.UnionType, list):
        kind = get_args(kind)[0]
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
    low = next((f" ≥ {info.min:g}" for info in about if getattr(info, "min", None) is not None), "")
    return names[kind] + low


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.default in (None, [], ()) or (param.default is False and not param.secondary_opts):
        return ""
    if isinstance(param.default, bool):
        return f"`{(param.opts if param.default else param.secondary_opts)[0]}`"
    return f"`{_cell(str(param.default))}`"


def _is_option(param: Any) -> bool:
    return bool(param.opts[0].startswith("-"))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    print(reference(), end="")
