"""The errors that a user can cause or meet, and the exit code that each one ends a command with.

Every expected failure is a :class:`T2SError`: the command line prints its message as one block, without a
traceback, and exits with its ``exit_code``. Each class is also the builtin that it stands for, so that
library users may catch ``ValueError``. All are built from one message string: Ray pickles exceptions
across processes, and a constructor with other arguments would not survive that.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_ENVIRONMENT = 4
EXIT_INTERRUPTED = 130


class T2SError(Exception):
    """Something that a user can understand and cure; the message names the place and the cure."""

    exit_code = EXIT_FAILED


class RunError(T2SError, RuntimeError):
    """A training, search or evaluation started correctly and then failed."""


class ConfigError(T2SError, ValueError):
    """A configuration, an option or a combination of them is wrong."""

    exit_code = EXIT_USAGE


class AdapterError(T2SError, ValueError):
    """An adapter is damaged, unsafe, or was trained on another base model."""

    exit_code = EXIT_USAGE


class DataError(T2SError, ValueError):
    """A data file, a table or a database is missing, malformed or inconsistent."""

    exit_code = EXIT_DATA


class SQLError(T2SError, ValueError):
    """A SQL text is not what was asked for: it does not parse, is not read-only, or names unknown things."""

    exit_code = EXIT_DATA


class SetupError(T2SError, RuntimeError):
    """The machine lacks something: a GPU, a package, a free port, a model, disk space."""

    exit_code = EXIT_ENVIRONMENT


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest of ``known``, or ``""`` if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
