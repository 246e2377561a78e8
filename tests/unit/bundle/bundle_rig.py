"""A stand-in for t2s that is bundled in a moment: one wheel without requirements, "installed" here by its metadata."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.bundle.collect import Collected

NAME, VERSION = "t2s-stand-in", "1.0"
FOLDER = f"t2s_stand_in-{VERSION}.dist-info"
METADATA = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
PART = 3_000
Collect = Callable[..., Collected]


def put_stand_in(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """Make a package that is found installed, from a wheel in ``folder``; returns its name."""
    wheel = folder / f"t2s_stand_in-{VERSION}-py3-none-any.whl"
    files = {
        "t2s_stand_in.py": "VALUE = 7\n" + "# padding\n" * 800,
        f"{FOLDER}/METADATA": METADATA,
        f"{FOLDER}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{FOLDER}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{FOLDER}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    info = folder / "site" / FOLDER
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "direct_url.json").write_text(json.dumps({"url": wheel.as_uri()}))
    patch.syspath_prepend(info.parent)
    return NAME


def put_model_and_data(folder: Path) -> list[str]:
    """Make a model of a few kilobytes and data of three lines in ``folder``; returns the settings that name them."""
    model, data = folder / "tiny-model", folder / "shop"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(bytes(range(256)) * 20)
    (model / "LICENSE").write_text("yours")
    (model / "script.py").write_text("print('not a part of the model')")
    (data / "databases").mkdir(parents=True)
    (data / "databases" / "shop.db").write_bytes(b"rows" * 500)
    for split in ("train", "val", "test"):
        (data / f"{split}.jsonl").write_text(f'{{"question": "{split}?"}}\n')
    (data / ".hidden").write_text("no")
    (data / "empty.txt").write_text("")
    return [f"model.name={model}", "data.pipeline=jsonl", f"data.path={data}", "lora.r=4"]
