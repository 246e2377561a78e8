"""Follow the registry: when an alias moves, the replica takes the new version without missing a question.

Every alias among ``serve.adapter`` and ``serve.adapters`` is followed by itself.

An adapter that is damaged, or of another base, is refused before a question reaches it: the old one goes on, and
``/readyz`` says why. Replicas look for themselves, so that for a while one may answer with the new version and one with
the old; each answer names its own.
"""

from __future__ import annotations

import logging
import threading

from t2s.config import Config
from t2s.errors import T2SError
from t2s.registry import resolve_adapter
from t2s.serve.engine import Engine

log = logging.getLogger("ray.serve")


class Follower:
    """Looks at the registry every ``serve.follow_s``; a version that was refused is not tried again."""

    def __init__(self, config: Config, engine: Engine) -> None:
        """Does nothing until :meth:`start` or :meth:`look`."""
        self._config, self._engine = config, engine
        ready = engine.readiness()
        served = {config.serve.adapter: ready.adapter} | ready.adapters
        names = {config.serve.adapter: config.serve.adapter} | config.serve.adapters
        self._aliases = {name: alias for name, alias in names.items() if is_alias(alias)}
        self._served = {name: served[name].version for name in self._aliases}
        self._refused: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._over = threading.Event()

    def start(self) -> None:
        """Follow on a thread that ends with the process, if there is something to follow."""
        if self._config.serve.follow_s and self._aliases:
            threading.Thread(target=self._work, name="t2s-follow", daemon=True).start()

    def look(self) -> None:
        """Take each alias's version if it is a new one."""
        for name, alias in self._aliases.items():
            try:
                self._follow(name, alias)
            except T2SError as error:
                self._note(name, str(error))
            except Exception as error:  # fault boundary: without memory or disk this thread must not end unseen
                self._note(name, f"{type(error).__name__} {error}")
        own = self._config.serve.adapter
        lines = [line if name == own else f"{name}: {line}" for name, line in self._problems.items()]
        self._engine.problem = "; ".join(lines) or None

    def _follow(self, name: str, alias: str) -> None:
        found = resolve_adapter(self._config, alias)
        if found.version == self._refused.get(name):
            return
        if found.version != self._served[name]:
            self._refused[name] = found.version
            self._engine.swap(found, name)
            self._served[name] = found.version
        self._refused.pop(name, None)
        self._problems.pop(name, None)

    def _note(self, name: str, problem: str) -> None:
        line = " ".join(problem.split())[:500]
        if line != self._problems.get(name):
            log.warning("the adapter of %s stays: %s", name, line)
        self._problems[name] = line

    def _work(self) -> None:
        while not self._over.wait(self._config.serve.follow_s):
            self.look()


def is_alias(name: str) -> bool:
    """Whether the registry may move what ``name`` means: it is no version number, no directory and not ``none``."""
    return name != "none" and not name.isdigit() and "/" not in name
