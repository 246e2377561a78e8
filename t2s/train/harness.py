"""What a training is run by: Ray Train, or a trial of a search in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from t2s.errors import T2SError


class Harness(Protocol):
    """Where the training loop is, and whom it tells."""

    rank: int
    world_size: int

    def report(self, metrics: dict[str, float]) -> None:
        """Pass metrics on; all workers do so equally often."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """What each worker gave, in their order, on every worker; a barrier."""
        ...


class RayTrainHarness:
    """A Ray Train worker."""

    def __init__(self) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()

    def report(self, metrics: dict[str, float]) -> None:
        """To Ray's controller. Checkpoints are t2s's own and go to the run directory."""
        import ray.train

        ray.train.report(metrics)

    def gather(self, value: Any) -> list[Any]:
        """Over the process group that Ray Train made; it pickles, between workers of one run only."""
        import torch.distributed

        values: list[Any] = [value]
        if self.world_size > 1:
            values *= self.world_size
            torch.distributed.all_gather_object(values, value)
        return values


class Alone:
    """One process without Ray: for tests and for measuring what Ray costs."""

    rank = 0
    world_size = 1

    def report(self, metrics: dict[str, float]) -> None:
        """To nobody."""

    def gather(self, value: Any) -> list[Any]:
        """Its own."""
        return [value]


class TrialHarness(Alone):
    """A trial that trains in Tune's own process: its metrics go to Tune, its adapter nowhere."""

    def report(self, metrics: dict[str, float]) -> None:
        """One rung."""
        from ray import tune

        tune.report(metrics)


class BatchError(RuntimeError):
    """A step failed; the message names its batch. Ray may start the workers again: some faults pass."""


class PeerLost(RuntimeError):
    """Another worker died or ended while this one waited for it."""


class Agreed(Exception):
    """A :class:`T2SError` that every worker knows of, so that all may end at once."""

    def __init__(self, error: T2SError) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def together(harness: Harness) -> Iterator[None]:
    """Do something that all workers go through and any of them may fail at: all go on, or all raise the first error.

    A worker that ended alone would leave the others waiting for it in their next exchange.
    """
    error: T2SError | None = None
    try:
        yield
    except T2SError as raised:
        error = raised
    first = next((found for found in harness.gather(error) if found is not None), None)
    if first is not None:
        raise Agreed(first)
