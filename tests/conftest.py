"""What every test shares: the shared WikiSQL files, skipped by name where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# No deadline for one example: on a shared machine a slow moment is no failure.
settings.register_profile("t2s", deadline=None)
settings.load_profile("t2s")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "wikisql"


@pytest.fixture(scope="session")
def shared_wikisql() -> Path:
    """The folder with ``data.tar.bz2`` and ``parity.jsonl.bz2`` that lies beside the checkout in CI."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: the shared WikiSQL files lie beside the checkout in CI")
    return SHARED
