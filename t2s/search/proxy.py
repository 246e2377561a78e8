"""What a Tune trial runs in ``slots`` mode: it owns one slot, passes its rungs on to Tune, and gives the slot back.

A trial holds no model. It goes where most slots are free; when its host dies it goes on from its last rung on another
one, or on the same one once Ray has started it again. When the trial itself dies, its successor takes the slot over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError

from t2s.config import Config
from t2s.errors import RunError, T2SError
from t2s.search.news import News, SlotLost, cause_of, first_line
from t2s.search.setting import Setting, trial_config

POLL_S = 10.0
"""How long a question for news may wait for its answer; below :data:`t2s.search.host.HEARTBEAT_S`."""
LOOK_S = 0.1
"""How often a trial looks for a free slot."""
MOVES = 5
"""Hosts that a trial may lose before it fails."""


def run_slot_trial(proposed: dict[str, Any], hosts: Sequence[Any], config: Config, num_examples: int) -> None:
    """One Tune trial: ``proposed`` holds its number and its setting, ``hosts`` are handles of slot hosts."""
    from ray import tune

    number: int = proposed["number"]
    setting: Setting = proposed["setting"]

    def tell(news: News, host: str) -> None:
        rung = {"rung": news.rung, "step": news.step, "peers": news.peers, "host": host}
        tune.report({**news.metrics, **rung, **({"failed": 1.0, "error": news.error} if news.error else {})})

    try:
        train_in_slot(hosts, number, trial_config(config, setting, num_examples), config.search.rungs, tell)
    except (T2SError, RayActorError) as error:
        # Raised, it would be tried again by Tune; and Tune would tell the searcher that it failed, but not why.
        tune.report({"failed": 1.0, "error": first_line(error), "rung": 0})


def train_in_slot(
    hosts: Sequence[Any], number: int, short: Config, rungs: int, tell: Callable[[News, str], None]
) -> None:
    """Train trial ``number`` to its last rung; ``tell`` hears each rung, or why it failed, and the host's name.

    Raises:
        T2SError: no host can train, or too many died under the trial.
    """
    moves = 0
    try:
        while True:
            try:
                host, name = _find_slot(hosts, number, short)
                return _follow(host, name, number, rungs, tell)
            except (RayActorError, SlotLost) as error:
                moves += 1
                if moves > MOVES:
                    raise RunError(f"trial {number}: lost its slot {moves} times, last: {first_line(error)}") from error
                time.sleep(LOOK_S)
    finally:
        for host in hosts:
            host.close.remote(number)


def _follow(host: Any, name: str, number: int, rungs: int, tell: Callable[[News, str], None]) -> None:
    while True:
        news: News | None = ray.get(host.next_rung.remote(number, POLL_S))
        if news is None:
            continue
        tell(news, name)
        if news.error or news.rung >= rungs:
            return
        ray.get(host.proceed.remote(number, news.rung))


def _find_slot(hosts: Sequence[Any], number: int, short: Config) -> tuple[Any, str]:
    """The host that has the trial already, else the one with most free slots; waits until there is one.

    Raises:
        T2SError: no host can train; why the first one cannot.
    """
    asked: dict[Any, int] = {}
    while True:
        asked |= {hosts[at].status.remote(): at for at in range(len(hosts)) if at not in asked.values()}
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=1.0)
        found = [(asked.pop(reference), _status(reference)) for reference in done]
        broken = [status for _, status in found if isinstance(status, T2SError)]
        if len(broken) == len(hosts):
            raise broken[0]
        there = [(at, status) for at, status in found if isinstance(status, dict)]
        # Of equally free hosts each trial begins with another one: one host alone would make all wait for its steps.
        turn = {at: -((at + number) % len(hosts)) for at, _ in there}
        there.sort(key=lambda pair: (number in pair[1]["trials"], pair[1]["free"], turn[pair[0]]), reverse=True)
        for at, status in there:
            may = number in status["trials"] or status["free"] > 0
            if may and ray.get(hosts[at].try_open.remote(number, short)):
                return hosts[at], status["name"]
        time.sleep(LOOK_S)


def _status(reference: Any) -> dict[str, Any] | T2SError | None:
    """A host's answer; None of one that is dead or being started again."""
    try:
        status: dict[str, Any] = ray.get(reference)
        return status
    except RayActorError:
        return None
    except T2SError as error:
        return cause_of(error)
