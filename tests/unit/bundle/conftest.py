"""The stand-in, its model and data, and bundles of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundle_rig import PART, Collect, put_model_and_data, put_stand_in

from t2s.bundle.collect import Collected, Wanted
from t2s.bundle.collect import collect as collect_bundle
from t2s.config import load


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package that is found installed, from a wheel in ``tmp_path``."""
    return put_stand_in(tmp_path, monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """What names the model and the data in ``tmp_path``."""
    return put_model_and_data(tmp_path)


@pytest.fixture
def collect(tmp_path: Path, settings: list[str]) -> Collect:
    """``collect(name, **wanted)`` makes a bundle of model and data (and wheels if asked for) in ``tmp_path/name``."""

    def run(name: str = "bundle", part_size: int = PART, **wanted: object) -> Collected:
        given = Wanted(**{"wheels": False, **wanted})  # type: ignore[arg-type]
        return collect_bundle(tmp_path / name, load([], settings), part_size, given, lambda text: None)

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """A whole bundle with a wheel, for tests that copy it; model and data lie beside it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        wanted = Wanted(root=put_stand_in(folder, patch))
        config = load([], put_model_and_data(folder))
        return collect_bundle(folder / "bundle", config, PART, wanted, lambda text: None)


@pytest.fixture
def bundle(made: Collected, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made.directory, tmp_path / "bundle"))
