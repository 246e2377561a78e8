"""The fixtures of ``make chaos``, and the table that it prints at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_rig import Bench, Record, Undisturbed, eval_loss, losses
from tiny_model import save_tiny_model

_table: list[tuple[str, str, str]] = []


@pytest.fixture(scope="session")
def record_row() -> Record:
    """``record_row(fault, must happen, measured)``: one row of the table."""
    return lambda fault, must, measured: _table.append((fault, must, measured))


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny model and a cache for generated data."""
    folder = tmp_path_factory.mktemp("chaos")
    return save_tiny_model(folder / "tiny"), folder / "cache"


@pytest.fixture
def bench(tmp_path: Path, places: tuple[Path, Path]) -> Iterator[Bench]:
    """A folder of this test's own; whatever it leaves running is ended."""
    made = Bench(tmp_path, *places)
    yield made
    made.end()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, places: tuple[Path, Path]) -> Undisturbed:
    """The run that all others must equal."""
    calm = Bench(tmp_path_factory.mktemp("undisturbed"), *places)
    began = time.monotonic()
    command = calm.train("--name", "calm")
    try:
        assert command.wait() == 0, command.said()
    finally:
        calm.end()
    return Undisturbed(losses(calm.runs / "calm"), eval_loss(calm.runs / "calm"), time.monotonic() - began)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table as Markdown, as it stands in docs/results.md."""
    if _table:
        lines = ["| fault | must happen | measured |", "| --- | --- | --- |"]
        lines += [f"| {fault} | {must} | {measured} |" for fault, must, measured in _table]
        terminalreporter.write_line("\n" + "\n".join(lines))
