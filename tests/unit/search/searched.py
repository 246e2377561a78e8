"""Searches that were never run: a study written as a search writes it, for what reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2s.config import Config, dump, load
from t2s.search.book import Book
from t2s.search.ladder import Ladder

WORDS = ["search.num_trials=6", "search.rungs=2", "search.ex_rungs=1", "training.report_to=mlflow"]


def make_search(folder: Path, overrides: list[str] | None = None, num_trials: int = 6, error: str = "") -> Book:
    """``num_trials`` trials: the second one is stopped at its first rung, the third one fails with ``error``."""
    config = load([], [*WORDS, f"output_dir={folder.parent}", *(overrides or [])])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(dump(config))
    book = Book.create(folder, config, Ladder.of(config, has_rows=True), {})
    for _ in range(num_trials):
        play(book, config, error)
    return book


def play(book: Book, config: Config, error: str = "") -> None:
    """One more trial."""
    trial = book.ask()
    for rung in range(1, config.search.rungs + 1):
        book.rung(trial.number, rung, 8 * rung, measured(book, rung, trial.number), f"host-{trial.number % 2}")
        if trial.number == 2:
            return book.end(trial.number, "stopped", reason="asha")
    state: Any = "failed" if trial.number == 3 else "finished"
    return book.end(trial.number, state, error=error if state == "failed" else "")


def measured(book: Book, rung: int, number: int) -> dict[str, float]:
    """What the engine measures at a rung."""
    metrics = {"eval_loss": 1.0 / rung + 0.01 * number, "cpu_s": 2.0 * rung, "wall_s": 3.0 * rung}
    metrics |= {"examples": 64.0 * rung, "adapter_parameters": 4e6 * number, "train_loss": 0.5}
    answers = {"eval_ex": 0.4 + 0.01 * number, "eval_ex_low": 0.3, "eval_ex_high": 0.6, "eval_ex_n": 50.0}
    return metrics | (answers | {"latency_s": 0.1} if book.ladder.measures_ex(rung) else {})
