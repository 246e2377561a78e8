"""A real MLflow registry on SQLite, and whole adapter directories with meaningless weights."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from versions_on_disk import SETTING, write

from t2s.config import Config, load

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite store for all tests of a file, as making one takes seconds; each has its own registered model."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture
def config(store: Path, request: pytest.FixtureRequest) -> Config:
    return load([], [f"output_dir={store}", f"tracking.registered_model=m{zlib.crc32(request.node.name.encode())}"])


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run(name, tuned="1100", base="0000", champion="0110")``: an adapter and what sides answered.

    '1' is a right answer. ``sha256`` says whose weights each side's answers are; given, there is an evaluation.json.
    """

    def make(name: str, **sides: str | dict[str, str]) -> Path:
        directory = tmp_path / name
        (directory / "adapter").mkdir(parents=True)
        files = {"adapter_model.safetensors": name.encode(), "adapter_config.json": b"{}"}
        for file, content in files.items():
            (directory / "adapter" / file).write_bytes(content)
        manifest = {
            "base": {"name": "tiny", "fingerprint": "f00"},
            "prompt_regime": "schema-only/1",
            "data": {"pipeline": "synthetic", "fingerprint": "d00"},
            "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        }
        (directory / "adapter" / "t2s_adapter.json").write_text(json.dumps(manifest))
        sha256, setting = sides.pop("sha256", None), sides.pop("setting", {})
        if sides:
            write(directory, {side: str(marks) for side, marks in sides.items()})
        if sha256 is not None:
            assert isinstance(setting, dict)
            (directory / "evaluation.json").write_text(json.dumps(SETTING | setting | {"adapter_sha256": sha256}))
        return directory

    return make
