"""The nouns of the doctor: one check's result, and what all checks look at, each thing looked up once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from t2s.config import Config
from t2s.errors import T2SError

State = Literal["pass", "warn", "fail"]
Result = TypeVar("Result")
SAMPLE = 500
"""Training examples that tokenizer and memory are tried on; a run checks all of its own."""
TIMEOUT_S = 2.0
"""How long a service may take to answer."""


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    state: State
    found: str
    cure: str = ""

    def called(self, name: str) -> Check:
        """The same under the name of its check."""
        return replace(self, name=name)


def passed(found: str) -> Check:
    """All is well."""
    return Check("", "pass", found)


def warned(found: str, cure: str) -> Check:
    """It works, and not as one would want it."""
    return Check("", "warn", found, cure)


def failed(found: str, cure: str) -> Check:
    """It does not work, or is not safe."""
    return Check("", "fail", found, cure)


class Subject:
    """The configuration and what it names; a failure to look something up is the same one for all who ask."""

    def __init__(self, config: Config) -> None:
        """``config`` has absolute paths."""
        self.config = config
        self._known: dict[str, Any] = {}

    @property
    def base(self) -> Any:
        """The base model's files."""

        def find() -> Any:
            from t2s.model.base import find_base

            return find_base(self.config.model)

        return self._once("base", find)

    @property
    def tokenizer(self) -> Any:
        """The base's tokenizer."""

        def load() -> Any:
            from t2s.model.load import load_tokenizer

            return load_tokenizer(self.base)

        return self._once("tokenizer", load)

    @property
    def splits(self) -> Any:
        """Training, validation and test examples."""

        def prepare() -> Any:
            from t2s.data.pipelines import build_pipeline

            return build_pipeline(self.config.data).prepare()

        return self._once("splits", prepare)

    def _once(self, name: str, look: Callable[[], Result]) -> Result:
        if name not in self._known:
            try:
                self._known[name] = look()
            except T2SError as error:
                self._known[name] = error
        if isinstance(self._known[name], T2SError):
            raise self._known[name]
        found: Result = self._known[name]
        return found
