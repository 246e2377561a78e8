"""Every command that the documents show a user, typed as it stands there, with a tiny model: `make walk`.

What a laptop cannot do says so beside the command; what another test runs names it. `tests/unit/test_documents.py`
holds that there is no third kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from documents_rig import WALKED
from walk_rig import settle

pytestmark = [pytest.mark.walk, pytest.mark.timeout(7200)]


def test_every_documented_command_works_as_it_stands(tmp_path: Path, shared_wikisql: Path) -> None:
    reader = settle(tmp_path, shared_wikisql)
    try:
        for document in WALKED:
            reader.walk(document)
    finally:
        reader.end()
    assert not reader.problems, "\n\n".join(reader.problems)
