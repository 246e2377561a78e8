"""What a training is run by: Ray Train, or a trial of a search in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol


class Harness(Protocol):
    """Where the training loop is, and whom it tells."""

    rank: int
    world_size: int

    def report(self, metrics: dict[str, float], folder: Path | None, name: str) -> None:
        """Pass metrics on, with the files of ``folder`` (if it is there) as the checkpoint ``name``."""
        ...

    def checkpoint(self) -> AbstractContextManager[str | None]:
        """The directory of the checkpoint to go on from, or None."""
        ...


class RayTrainHarness:
    """A Ray Train worker. Every report is a barrier: all workers make it."""

    def __init__(self) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()

    def report(self, metrics: dict[str, float], folder: Path | None, name: str) -> None:
        """Ray merges what the workers report under one name."""
        import ray.train

        there = folder is not None and folder.is_dir()
        checkpoint = ray.train.Checkpoint.from_directory(str(folder)) if there else None
        ray.train.report(metrics, checkpoint=checkpoint, checkpoint_dir_name=name or None)

    @contextmanager
    def checkpoint(self) -> Iterator[str | None]:
        """Ray hands a restarted worker the last reported one."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            yield None
        else:
            with checkpoint.as_directory() as directory:
                yield directory


class TrialHarness:
    """A trial that trains in Tune's own process: its metrics go to Tune, its adapter nowhere."""

    rank = 0
    world_size = 1

    def report(self, metrics: dict[str, float], folder: Path | None, name: str) -> None:
        """One rung."""
        from ray import tune

        tune.report(metrics)

    @contextmanager
    def checkpoint(self) -> Iterator[str | None]:
        """A trial starts from the beginning."""
        yield None
