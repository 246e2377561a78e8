"""A few long-lived child processes that take turns, for each engine its own. Knows processes, not SQL."""

from __future__ import annotations

import os
import queue
import signal
import time
import weakref
from typing import Any

from t2s.sql.database import Engine
from t2s.sql.sandbox.inside.wire import LAYERS
from t2s.sql.sandbox.outcome import ExecutionFailed, Limits, SandboxError, TimedOut
from t2s.sql.sandbox.process import Child, ChildDied

_AT_ONCE_S = 0.02
"""A child that dies so soon after a question was dying before it."""

Slots = queue.LifoQueue["Child | None"]
"""As many entries as children may run; None where none has been started yet."""


class Pool:
    """Up to ``workers`` children for each engine. Thread safe, and made anew in a forked process."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self.limits = limits
        self._workers = workers
        self.layers = LAYERS
        """Those of the children to come. Tests leave some out, to see what the others hold alone."""
        self._closed = False
        self._make_slots()

    @property
    def children(self) -> frozenset[Child]:
        """Those that run now."""
        return frozenset(self._children)

    def close(self) -> None:
        """End the children, also in the middle of a query."""
        self._closed = True
        self._finalizer()
        for slots in self._slots.values():
            while not slots.empty():
                self.end(slots.get())

    def slots(self, engine: Engine) -> Slots:
        """The slots of this process. Raise :class:`ExecutionFailed` after :meth:`close`."""
        if self._pid != os.getpid():
            # After a fork the pipes belong to the parent: two processes would read each other's replies.
            self._finalizer.detach()
            self._make_slots()
        if self._closed:
            raise ExecutionFailed("the sandbox is closed")
        return self._slots[engine]

    def start(self, engine: Engine) -> Child:
        """A new child; it counts as running until :meth:`end`."""
        child = Child(self.limits, engine, self.layers)
        self._children.add(child)
        if self._closed:
            # Closed meanwhile by another thread, which could not see this one.
            self.end(child)
            raise ExecutionFailed("the sandbox is closed")
        return child

    def end(self, child: Child | None) -> None:
        """Kill ``child``, if there is one."""
        if child is not None:
            self._children.discard(child)
            child.kill()

    def _make_slots(self) -> None:
        self._pid = os.getpid()
        self._children: set[Child] = set()
        self._slots: dict[Engine, Slots] = {"sqlite": queue.LifoQueue(), "duckdb": queue.LifoQueue()}
        for slots in self._slots.values():
            for _ in range(self._workers):
                slots.put(None)
        self._finalizer = weakref.finalize(self, _stop_all, self._children)


class Turn:
    """One question to one child: sent at once; :meth:`reply` gives the child back, and must be called."""

    def __init__(self, pool: Pool, engine: Engine, request: dict[str, Any]) -> None:
        self._pool, self._engine, self._request = pool, engine, request
        self._slots = pool.slots(engine)
        self._child = self._slots.get()
        try:
            self._used_before = self._child is not None and self._child.is_alive
            self._ask(anew=not self._used_before)
        except BaseException:
            self._give_back(spoilt=True)
            raise

    def reply(self) -> dict[str, Any]:
        """What the child answers. Raise :class:`TimedOut`, or :class:`ExecutionFailed` if it died."""
        spoilt = True
        try:
            reply = self._received()
            spoilt = False
            return reply
        except TimeoutError as error:
            raise too_late(self._pool.limits.timeout_s) from error
        except ChildDied as error:
            raise self._died(error.args[0]) from error
        finally:
            # A child whose reply was not read would give it to the next question.
            self._give_back(spoilt)

    def _ask(self, anew: bool) -> None:
        if anew:
            self._pool.end(self._child)
            self._child = None
            self._child = self._pool.start(self._engine)
        assert self._child is not None
        self._asked = time.monotonic()
        self._deadline = self._child.send(self._request, self._request["timeout_s"])

    def _received(self) -> dict[str, Any]:
        assert self._child is not None
        try:
            return self._child.receive(self._deadline)
        except ChildDied:
            # Killed from outside while it waited for work: that is not the fault of this query.
            if not self._used_before or time.monotonic() - self._asked > _AT_ONCE_S:
                raise
        self._ask(anew=True)
        return self._child.receive(self._deadline)

    def _give_back(self, spoilt: bool) -> None:
        if spoilt:
            self._pool.end(self._child)
        self._slots.put(None if spoilt else self._child)

    def _died(self, returncode: int) -> SandboxError:
        if returncode == -signal.SIGXCPU:
            return too_late(self._pool.limits.timeout_s)
        return ExecutionFailed(f"the query ended its process (code {returncode}): most likely out of memory")


def too_late(timeout_s: float) -> TimedOut:
    """The error of a query that ran into its deadline."""
    return TimedOut(f"the query ran longer than {timeout_s:g} s and was stopped")


def _stop_all(children: set[Child]) -> None:
    for child in list(children):
        child.stop()
