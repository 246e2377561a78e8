"""The slot hosts of a search: how many there are, where they run, and what the driver asks of them."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayActorError

from t2s.config import Config
from t2s.errors import ConfigError, RunError, T2SError
from t2s.search.host import SlotHost
from t2s.search.ladder import Ladder
from t2s.search.news import cause_of

THREADS = 128
"""Calls that a host answers at a time; each trial on it waits in one."""
_SAY_S = 60.0
_ANSWER_S = 5.0
"""How much longer than the first one the others may take to say that they are there."""


def plan_hosts(config: Config, texts: Any, say: Callable[[str], None]) -> tuple[int, Config]:
    """How many hosts, and ``config`` with passes that they have the memory for.

    One host a GPU, or one for each ``ray.worker_cpus`` CPUs; never more than trials. On a CPU a packed pass costs what
    separate ones cost (``bench/slots.py``), so a host has one slot there unless more are asked for. Where a base with
    the slots that will be in use (at most two are made room for) would not fit, an optimizer step is made of more and
    smaller passes, which changes none of its numbers; where even passes of one example do not fit, there are fewer
    hosts.

    Raises:
        ConfigError: ``search.hosts`` asks for more than there are.
    """
    from t2s.runtime import uses_gpu

    gpus, resources = uses_gpu(config), ray.cluster_resources()
    there = int(resources.get("GPU", 0) if gpus else resources.get("CPU", 1) / config.ray.worker_cpus)
    asked = config.search.hosts
    if asked is not None and asked > there:
        what = f"{there} GPUs" if gpus else f"CPUs for {there} (ray.worker_cpus={config.ray.worker_cpus:g} each)"
        raise ConfigError(f"search.hosts={asked}: this Ray has {what}")
    count = asked or max(1, min(there, config.search.num_trials, config.search.max_concurrent_trials or there))
    sharing = 1 if gpus else -(-count // num_nodes())
    if not gpus and config.search.slots is None:
        config = config.model_copy(update={"search": config.search.model_copy(update={"slots": 1})})
    together = config.search.max_concurrent_trials or config.search.num_trials // 3
    slots = config.search.slots or min(2, max(1, -(-together // count)))
    config, fits = _fit_passes(config, texts, sharing, slots, say)
    return (count if asked or fits >= sharing else max(1, fits) * num_nodes()), config


def _fit_passes(config: Config, texts: Any, sharing: int, slots: int, say: Callable[[str], None]) -> tuple[Config, int]:
    """``config`` with passes so small that ``sharing`` hosts of ``slots`` fit on one device, and how many do."""
    from t2s.search.slots.memory import find_place, hosts_in
    from t2s.train.saved import Uncountable

    place, wanted = find_place(config), config.training.batch_size
    try:
        while (fits := hosts_in(place, config, texts, slots)) < sharing and config.training.batch_size % 2 == 0:
            config = _halved(config)
    except Uncountable:  # memory is then known once it is measured
        return config, sharing
    if config.training.batch_size < wanted:
        say(
            f"passes of {config.training.batch_size} examples instead of {wanted}, so that a base with {slots} slot(s) "
            f"fits {sharing} times in memory; an optimizer step stays what it is"
        )
    return config, fits


def _halved(config: Config) -> Config:
    """The same optimizer step, of twice as many passes."""
    training = config.training
    update = {
        "batch_size": training.batch_size // 2,
        "gradient_accumulation_steps": 2 * training.gradient_accumulation_steps,
    }
    return config.model_copy(update={"training": training.model_copy(update=update)})


def num_nodes() -> int:
    """Machines of this Ray that live."""
    return max(1, sum(bool(node["Alive"]) for node in ray.nodes()))


class Pool:
    """The hosts of one search, as the driver sees them; a context that ends them."""

    def __init__(self, config: Config, texts: Any, ladder: Ladder, search_dir: Path, count: int) -> None:
        sharing = -(-count // num_nodes())
        # Once for all hosts, and kept here: a host that is started again asks for them again. As bytes, because Ray
        # warns of every reference that an actor may need once more.
        self._texts = ray.put(texts)
        make = functools.partial(_make_engine, config, cloudpickle.dumps(self._texts), ladder, sharing)
        self.folder = search_dir / "trials"
        self.hosts = [
            _start(config, f"t2s-slots-{search_dir.name}-{at}", make, ladder, self.folder) for at in range(count)
        ]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            ray.kill(host, no_restart=True)

    def wait(self, say: Callable[[str], None]) -> int:
        """Until all bases are loaded; the slots of all hosts together.

        Raises:
            T2SError: why a host cannot be.
        """
        waiting = [host.ready.remote() for host in self.hosts]
        found: list[tuple[int, list[str]]] = []
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_SAY_S)
            found += [_answer(each) for each in done]
            if waiting:
                say(f"waiting for {len(waiting)} of {len(self.hosts)} slot hosts: is something else using the cluster?")
        for line in found[0][1]:  # the others say the same of their machines
            say(line)
        return sum(capacity for capacity, _ in found)

    def free(self, number: int) -> None:
        """Give a trial's slot back, wherever it is; at once, without waiting."""
        for host in self.hosts:
            host.close.remote(number)

    def examine(self, asked: Sequence[tuple[Any, ...]]) -> list[list[bool | None]]:
        """:meth:`SlotHost.examine` for each, shared out over the living; what a dead one had is asked again."""
        found: dict[int, list[bool | None]] = {}
        while left := [at for at in range(len(asked)) if at not in found]:
            hosts = self._living()
            calls = [(at, hosts[at % len(hosts)].examine.remote(*asked[at])) for at in left]
            for at, call in calls:
                with contextlib.suppress(RayActorError):
                    found[at] = _answer(call)
        return [found[at] for at in range(len(asked))]

    def _living(self) -> list[Any]:
        """The hosts that answer now; one whose node is gone may wait for room for ever."""
        asked = {host.status.remote(): host for host in self.hosts}
        ray.wait(list(asked), num_returns=1, timeout=_SAY_S)
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
        living = [asked[each] for each in done if _is_there(each)]
        if not living:
            raise RunError("no slot host answers: go on with t2s search --resume")
        return living


def _start(config: Config, name: str, make: Callable[[Any], Any], ladder: Ladder, folder: Path) -> Any:
    from t2s.runtime import uses_gpu

    options = {
        "name": name,
        "num_cpus": config.ray.worker_cpus,
        "num_gpus": 1 if uses_gpu(config) else 0,
        "max_concurrency": THREADS,
        "max_restarts": -1,  # its trials go on from their last rungs
        "scheduling_strategy": "SPREAD",
    }
    return ray.remote(SlotHost).options(**options).remote(name, make, ladder, folder)


def _make_engine(config: Config, texts: bytes, ladder: Ladder, sharing: int, say: Callable[[str], None]) -> Any:
    """In the host's process; only there are torch and the base loaded."""
    import transformers

    from t2s.search.slots.engine import SlotEngine

    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return SlotEngine(config, ray.get(cloudpickle.loads(texts)), ladder, say=say, sharing=sharing)


def _is_there(reference: Any) -> bool:
    try:
        return bool(_answer(reference))
    except RayActorError:
        return False


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except T2SError as error:
        raise cause_of(error) from None
