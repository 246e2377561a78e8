"""The rungs of a search's trials on the disk: of each trial, the newest one's metrics and the slot's checkpoint.

A rung counts once its checkpoint is whole, and its metrics are written before. A directory a trial, named by its
number; a trial whose host is gone goes on from there on any host that sees the directory.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from t2s.errors import RunError
from t2s.search.news import News
from t2s.train.checkpoint import newest_valid, prune, step_of, sweep

log = logging.getLogger("t2s.search")


class KeptRungs:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, number: int) -> Path:
        """The trial's directory."""
        return self._folder / str(number)

    def newest(self, number: int) -> tuple[Path | None, News | None]:
        """The newest whole checkpoint of a trial and the rung that it is of; removes what killed saves left."""
        folder = self.of(number)
        sweep(folder)
        try:
            start = newest_valid(folder, lambda text: log.warning("trial %d: %s", number, text), {})
        except RunError as error:
            self.forget(number, error)
            start = None
        if start is None:
            return None, None
        told = json.loads((folder / _metrics_name(step_of(start))).read_text("utf-8"))
        return start, News(number, told["rung"], told["step"], told["metrics"])

    def keep(self, news: News, save: Callable[[Path], object]) -> None:
        """``news`` is of a rung; ``save`` writes the slot's checkpoint into the directory that it is given."""
        folder = self.of(news.number)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"rung": news.rung, "step": news.step, "metrics": news.metrics})
        (folder / _metrics_name(news.step)).write_text(text, "utf-8")
        save(folder)
        prune(folder, keep=1)

    def forget(self, number: int, why: RunError) -> None:
        """What cannot be used is not tried again."""
        log.warning("trial %d begins again: %s", number, why)
        shutil.rmtree(self.of(number), ignore_errors=True)


def _metrics_name(step: int) -> str:
    return f"rung-at-{step}.json"
