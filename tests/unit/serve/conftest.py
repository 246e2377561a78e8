"""One application for the tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serve_rig import Rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("rig"))
    yield made
    made.service.close()
