"""A slot host: a Ray actor that holds one base and trains the adapters of several trials on it, side by side.

One thread owns the engine and steps it; what callers want done to a slot is done by that thread between two steps. All
other methods answer at once or wait for news. A trial's slot ends when it is given back, when nobody has asked for its
news for :data:`HEARTBEAT_S`, or when its measurement was no number.

Every rung is on the disk before it is told: first its metrics, then the slot's checkpoint. A trial whose host is gone
goes on from there on any host, and the rung that it may not have told yet is told again.

Not covered: nodes that do not share the search's directory; a trial that moves to one of them begins again.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.search.kept import KeptRungs
from t2s.search.ladder import Ladder
from t2s.search.news import News, SlotLost, first_line

log = logging.getLogger("t2s.search")

HEARTBEAT_S = 30.0
"""A trial that asks for no news for so long is lost, and its slot freed."""
PARKED_S = 300.0
"""Likewise at a rung, where a trial waits for the driver's decision and asks nothing."""
FAULTS = 3
"""Steps that may raise in a row before the host gives up."""


class Engine(Protocol):
    """What a host needs of :class:`t2s.search.slots.engine.SlotEngine`."""

    capacity: int

    def open(self, key: str, short: Config, resume: Path | None = None) -> None: ...
    def step(self) -> Sequence[Any]: ...
    def proceed(self, key: str) -> None: ...
    def close(self, key: str) -> None: ...
    def save(self, key: str, folder: Path) -> Path: ...
    def export(self, key: str, directory: Path, about: dict[str, Any]) -> None: ...
    def verdicts(self, key: str, questions: Sequence[Any]) -> list[bool | None]: ...


Say = Callable[[str], None]


@dataclass
class _Place:
    """A slot as its trial sees it."""

    short: Config
    seen: float
    news: deque[News] = field(default_factory=deque)
    waited_s: float = 0.0
    told: float | None = None
    """When the news that nobody has answered yet came up."""
    is_open: bool = False
    """Whether the engine has it."""


class SlotHost:
    """See the module. ``make_engine`` runs in the host's process; ``folder`` holds a directory a trial."""

    def __init__(self, name: str, make_engine: Callable[[Say], Engine], ladder: Ladder, folder: Path) -> None:
        self._name = name
        self._ladder = ladder
        self._kept = KeptRungs(folder)
        self._places: dict[int, _Place] = {}
        self._freeing = 0
        self._wishes: deque[tuple[Callable[[Engine], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._said: list[str] = []
        self._broken: T2SError | None = None
        self._capacity: int | None = None
        threading.Thread(target=self._work, args=(make_engine,), daemon=True).start()

    # -- what trials and the driver call -----------------------------------------------------------------------------

    def ready(self) -> tuple[int, list[str]]:
        """Wait until the base is loaded: how many slots there are, and what a person should know of them.

        Raises:
            T2SError: why it cannot be loaded.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._broken or self._capacity is not None)
            self._refuse_if_broken()
            assert self._capacity is not None
            return self._capacity, list(self._said)

    def status(self) -> dict[str, Any]:
        """Free slots and whose the others are; nothing is free while the base is being loaded."""
        with self._changed:
            self._refuse_if_broken()
            taken = len(self._places) + self._freeing
            return {"name": self._name, "free": (self._capacity or 0) - taken, "trials": sorted(self._places)}

    def try_open(self, number: int, short: Config) -> bool:
        """A slot for a trial, or the one that it has; False if none is free."""
        with self._changed:
            self._refuse_if_broken()
            if number in self._places:
                self._places[number].seen = time.monotonic()
                return True
            if self._capacity is None or len(self._places) + self._freeing >= self._capacity:
                return False
            self._places[number] = _Place(short, time.monotonic())
            self._wish(lambda engine: self._open(engine, number))
            return True

    def next_rung(self, number: int, timeout_s: float) -> News | None:
        """The rung that the trial has reached and not answered by :meth:`proceed`; None if there is none yet.

        Raises:
            SlotLost: the trial has no slot here.
        """
        with self._changed:
            end = time.monotonic() + timeout_s
            while True:
                place = self._place(number)
                place.seen = time.monotonic()
                if place.news or place.seen >= end:
                    return place.news[0] if place.news else None
                self._changed.wait(min(end - place.seen, HEARTBEAT_S / 3))

    def proceed(self, number: int, rung: int) -> None:
        """Go on after ``rung``."""
        with self._changed:
            place = self._place(number)
            place.seen = time.monotonic()
            if place.news and place.news[0].rung == rung:
                place.news.popleft()
                place.waited_s += place.seen - (place.told or place.seen)
                place.told = None
                self._wish(lambda engine: self._go_on(engine, number))

    def close(self, number: int) -> None:
        """Free the trial's slot; unknown ones are free already."""
        with self._changed:
            self._close(number)

    def examine(
        self, number: int, short: Config, questions: Sequence[Any], export_to: Path | None, about: dict[str, Any]
    ) -> list[bool | None]:
        """Ask a trial's newest checkpoint ``questions`` and write its adapter; needs a free slot for that time."""
        with self._changed:
            self._refuse_if_broken()
            done = self._wish(lambda engine: self._examine(engine, number, short, questions, export_to, about))
        found: list[bool | None] = done.result()
        return found

    # -- the thread that owns the engine -----------------------------------------------------------------------------

    def _work(self, make_engine: Callable[[Say], Engine]) -> None:
        try:
            engine = make_engine(self._said.append)
        except Exception as error:  # fault boundary: a thread's exception would be lost
            return self._break(error)
        with self._changed:
            self._capacity = engine.capacity
            self._changed.notify_all()
        faults = 0
        while faults < FAULTS:
            with self._changed:
                self._free_lost()
                if not self._wishes and not self._running():
                    self._changed.wait(1.0)
            self._do_wishes(engine)
            if not self._running():
                continue
            try:
                self._reached(engine, engine.step())
                self._capacity, faults = engine.capacity, 0
            except Exception as error:  # fault boundary: the trials begin again from their checkpoints
                faults += 1
                log.warning("%s: a step failed: %s", self._name, first_line(error))
                self._drop_all(engine)
                last = error
        self._break(last)

    def _running(self) -> bool:
        """Whether a slot has steps to take: one that waits for a decision has none."""
        return any(place.is_open and not place.news for place in self._places.values())

    def _do_wishes(self, engine: Engine) -> None:
        while self._wishes:
            wish, done = self._wishes.popleft()
            try:
                done.set_result(wish(engine))
            except Exception as error:  # fault boundary: raised to the one who wished
                done.set_exception(error)

    def _open(self, engine: Engine, number: int) -> None:
        """Begin a trial, or go on from its newest checkpoint; what it cannot begin with is its news."""
        place = self._places.get(number)
        if place is None:
            return
        try:
            start, last = self._kept.newest(number)
            if last is None or last.rung < self._ladder.rungs:
                last = self._begin(engine, number, place.short, start, last)
                place.is_open = True
        except Exception as error:  # fault boundary: a trial that cannot begin must not wait for ever
            last = News(number, 0, error=first_line(error))
        if last is not None:
            self._tell(place, last)

    def _begin(self, engine: Engine, number: int, short: Config, start: Path | None, last: News | None) -> News | None:
        """Open the slot from ``start``, of which ``last`` is the rung; anew if that is of another setting."""
        try:
            engine.open(str(number), short, start)
            return last
        except RunError as error:
            if start is None or type(error) is not RunError:  # its subclasses say that no slot is free, and the like
                raise
            self._kept.forget(number, error)
            engine.open(str(number), short)
            return None

    def _go_on(self, engine: Engine, number: int) -> None:
        place = self._places.get(number)
        if place is not None and place.is_open:
            engine.proceed(str(number))

    def _reached(self, engine: Engine, rungs: Sequence[Any]) -> None:
        arrived = [
            (int(each.key), each.rung, self._ladder.objective(each.rung, each.metrics))
            for each in rungs
            if not each.metrics.get("failed")
        ]
        for each in rungs:
            number = int(each.key)
            place = self._places.get(number)
            if place is None:
                continue
            if each.metrics.get("failed"):
                place.is_open = False
                self._tell(place, News(number, each.rung, each.step, error=each.error or "the loss is no number"))
                continue
            metrics = {**each.metrics, "waited_s": place.waited_s}
            peers = [(other, value) for other, rung, value in arrived if rung == each.rung and other != number]
            news = News(number, each.rung, each.step, metrics, peers)
            self._kept.keep(news, partial(engine.save, str(number)))
            self._tell(place, news)

    def _tell(self, place: _Place, news: News) -> None:
        with self._changed:
            place.news.append(news)
            place.told = place.seen = time.monotonic()
            self._changed.notify_all()

    def _examine(
        self,
        engine: Engine,
        number: int,
        short: Config,
        questions: Sequence[Any],
        export_to: Path | None,
        about: dict[str, Any],
    ) -> list[bool | None]:
        start, _ = self._kept.newest(number)
        if start is None:
            raise RunError(f"trial {number}: its checkpoint in {self._kept.of(number)} is gone")
        key = f"{number}"
        engine.open(key, short, start)
        try:
            if export_to is not None:
                shutil.rmtree(export_to, ignore_errors=True)
                engine.export(key, export_to, about)
            return engine.verdicts(key, questions) if questions else []
        finally:
            engine.close(key)

    # -- with the lock held ------------------------------------------------------------------------------------------

    def _wish(self, wish: Callable[[Engine], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        self._wishes.append((wish, done))
        self._changed.notify_all()
        return done

    def _place(self, number: int) -> _Place:
        self._refuse_if_broken()
        if number not in self._places:
            raise SlotLost(f"trial {number} has no slot on {self._name}")
        return self._places[number]

    def _close(self, number: int) -> None:
        if self._places.pop(number, None) is None:
            return
        self._freeing += 1

        def free(engine: Engine) -> None:
            engine.close(str(number))
            with self._changed:
                self._freeing -= 1

        self._wish(free)

    def _free_lost(self) -> None:
        now = time.monotonic()
        for number, place in list(self._places.items()):
            if now - place.seen > (PARKED_S if place.news else HEARTBEAT_S):
                log.warning("%s: trial %d asks no more: its slot is freed", self._name, number)
                self._close(number)

    def _drop_all(self, engine: Engine) -> None:
        with self._changed:
            for number, place in self._places.items():
                if place.is_open:
                    engine.close(str(number))
            self._places.clear()
            self._changed.notify_all()

    def _break(self, error: Exception) -> None:
        told = error if isinstance(error, T2SError) else RunError(f"{self._name}: {first_line(error)}")
        with self._changed:
            self._broken = told
            self._places.clear()
            for _, done in self._wishes:
                done.set_exception(told)
            self._wishes.clear()
            self._changed.notify_all()

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken
