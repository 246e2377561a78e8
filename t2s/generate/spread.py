"""The same answers from several copies of the model, by Ray Data: each copy is an actor that loads it once.

Questions of one schema stay together, as they share its computation. A copy that dies is started again and what it was
at is asked again; what was answered is not. Ray must be connected, and a database that execution-guided decoding reads
be at the same path on every node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from t2s.generate.core import Generation, Request


@dataclass(frozen=True)
class Spread:
    """Answers as :class:`t2s.generate.engine.Generator` does, but in whatever order the copies are done."""

    load: Callable[[], Any]
    """Makes a copy's generator; called in its process, so that it must pickle."""
    copies: int
    size: int
    """Questions that a copy is handed at a time: what is asked again if it dies."""
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    """Of each copy, as for a Ray actor."""

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Generation]]]:
        """Yield ``(position in requests, answer)`` pairs, a copy's hand of questions at a time."""
        if not requests:
            return
        import ray.data

        _be_quiet()
        rows = [{"position": i, "request": requests[i]} for i in _order(requests)]
        answers = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // self.size)).map_batches(
            _Copy,
            fn_constructor_args=(self.load,),
            batch_size=None,  # a block, which is a hand of questions
            compute=ray.data.ActorPoolStrategy(size=min(self.copies, len(rows)), max_tasks_in_flight_per_actor=1),
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
        )
        for batch in answers.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            yield list(zip(map(int, batch["position"]), batch["answer"], strict=True))


class _Copy:
    """One copy of the model, in an actor of Ray Data."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._generator = load()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"position": batch["position"], "answer": self._generator.generate(list(batch["request"]))}


def _order(requests: Sequence[Request]) -> list[int]:
    """Questions of one schema together, the longest prompts first, so that the last hands are quickly done."""
    of_schema: dict[Any, list[int]] = {}
    for i, request in enumerate(requests):
        of_schema.setdefault(request.schema, []).append(i)
    return [i for schema in sorted(of_schema, key=lambda each: -len(repr(each))) for i in of_schema[schema]]


def _be_quiet() -> None:
    """Ray Data's own bars and lines would stand between the command's."""
    from ray.data import DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
