"""SIGKILL inside a save, fifty times."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from chaos_rig import Record
from kill_saves import kill_while_saving

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


def test_fifty_kills_at_random_moments_of_a_save(tmp_path: Path, record_row: Record) -> None:
    began = time.monotonic()
    hits = kill_while_saving(tmp_path, kills=50)
    assert hits >= 10
    record_row(
        "SIGKILL at 50 random moments of a process that saves without a pause",
        "always ≥ 1 valid checkpoint, none lost; leftovers removed at the next start",
        f"50 of 50 whole, {hits} kills inside a save, in {time.monotonic() - began:.0f} s",
    )
