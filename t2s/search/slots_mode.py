"""``search.mode: slots``: trials are proxies of slots on the hosts of :mod:`t2s.search.pool`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.search.book import Book
from t2s.search.record import Trial
from t2s.search.setting import rung_ends
from t2s.search.show import rungs_text
from t2s.search.tune import Running


@contextmanager
def open_mode(material: Any, book: Book, say: Callable[[str], None]) -> Iterator[Running]:
    """Start the hosts and end them with the block.

    Raises:
        T2SError: a host cannot be: no memory for ``search.slots``, no such base.
    """
    from ray import tune

    from t2s.runtime import HEAD_SHARE
    from t2s.search import finalists
    from t2s.search.pool import Pool, num_nodes, plan_hosts
    from t2s.search.proxy import run_slot_trial
    from t2s.train.estimate import settle

    count, config = plan_hosts(material.config, material.texts, say)
    config = settle(config, material.texts, say, -(-count // num_nodes()))
    with Pool(config, material.texts, material.ladder, book.search_dir, count) as pool:
        slots = pool.wait(say)
        at_a_time = _at_a_time(config, slots, count)
        ends = rungs_text(rung_ends(config, material.num_examples))
        say(
            f"{config.search.num_trials} trials, measured after {ends} examples, "
            f"{at_a_time} at a time in {slots} slots of {count} {'host' if count == 1 else 'hosts'}"
        )

        def compare(chosen: list[Trial]) -> list[Any]:
            verdicts = finalists.ask_in_slots(pool, config, chosen, material.num_examples, material.questions)
            return finalists.compare(verdicts, {trial.number: trial.loss or 0.0 for trial in chosen})

        def export(best: Trial, to: Path, about: dict[str, Any]) -> None:
            finalists.export_from_slot(pool, config, best, material.num_examples, to, about)

        trainable = tune.with_parameters(
            run_slot_trial, hosts=pool.hosts, config=config, num_examples=material.num_examples
        )
        yield Running(trainable, HEAD_SHARE, at_a_time, True, None, pool.free, compare, export)


def _at_a_time(config: Config, slots: int, hosts: int) -> int:
    """As many trials as were asked for; else a third of them, so that later ones learn from earlier ones."""
    asked = config.search.max_concurrent_trials or max(hosts, config.search.num_trials // 3)
    return min(slots, asked, config.search.num_trials)
