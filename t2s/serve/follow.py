"""Follow the registry: when an alias moves, the replica takes the new version without missing a question.

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
        self._seen = engine.adapter.version
        self._over = threading.Event()

    def start(self) -> None:
        """Follow on a thread that ends with the process, if there is something to follow."""
        if self._config.serve.follow_s and is_alias(self._config.serve.adapter):
            threading.Thread(target=self._work, name="t2s-follow", daemon=True).start()

    def look(self) -> None:
        """Take the alias's version if it is a new one."""
        try:
            found = resolve_adapter(self._config, self._config.serve.adapter)
            if found.version != self._seen:
                self._seen = found.version
                self._engine.swap(found)
                self._engine.problem = None
        except T2SError as error:
            line = " ".join(str(error).split())
            if line != self._engine.problem:
                log.warning("adapter %s stays: %s", self._engine.adapter.version, line)
            self._engine.problem = line

    def _work(self) -> None:
        while not self._over.wait(self._config.serve.follow_s):
            self.look()


def is_alias(name: str) -> bool:
    """Whether the registry may move what ``name`` means: it is no version number, no directory and not ``none``."""
    return name != "none" and not name.isdigit() and "/" not in name
