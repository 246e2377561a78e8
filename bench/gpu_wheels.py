"""Collect the wheels that the GPU benchmarks need beyond torch, transformers, peft and accelerate, in parts of a size.

    python -m bench.gpu_wheels DIR [--python 3.12] [--part-mb 60]      here, with a network
    python DIR/install.py TARGET && export PYTHONPATH=TARGET           there, without one; parts may arrive one by one

A wheel larger than a part is cut; ``install.py`` (standard library and pip alone) puts it together, checks every
SHA-256, and installs what is not there already. torch and its companions are never among them: the machine's own stay.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

NEEDED = (
    "babel", "bitsandbytes", "datasets", "dill", "duckdb", "gguf", "llguidance", "multiprocess", "pydantic",
    "pydantic-core", "annotated-types", "typing-inspection", "pyyaml", "rich", "shellingham", "sqlglot", "trl", "typer",
    "xxhash",
)  # fmt: skip
GLIBC = (17, 24, 27, 28, 31, 34)
"""manylinux_2_N tags that pip is to look for: it matches each exactly."""

INSTALL = '''"""Install the wheels beside this file into a directory: python install.py TARGET."""
import hashlib, json, pathlib, subprocess, sys, tempfile

here, target = pathlib.Path(__file__).parent, sys.argv[1]
with tempfile.TemporaryDirectory() as scratch:
    for name, wheel in json.loads((here / "manifest.json").read_text()).items():
        missing = [part for part in wheel["parts"] if not (here / part).is_file()]
        if missing:
            sys.exit(f"{here}: {', '.join(missing)} not here yet: carry all parts before installing")
        data = b"".join((here / part).read_bytes() for part in wheel["parts"])
        if hashlib.sha256(data).hexdigest() != wheel["sha256"]:
            sys.exit(f"{here}: {name} is not what was collected (SHA-256 differs): carry its parts again")
        (pathlib.Path(scratch) / name).write_bytes(data)
    wheels = sorted(map(str, pathlib.Path(scratch).iterdir()))
    options = ["--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", target]
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "-q", *options, *wheels]))
'''


def main() -> None:
    """Download, cut, and write the manifest last."""
    given = _arguments()
    wheels = given.directory / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    tags = [f"--platform=manylinux_2_{number}_x86_64" for number in GLIBC]
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={given.python}", "--implementation=cp"]
    pip = [sys.executable, "-m", "pip", "download", "-q", *options, *tags, "--platform=manylinux2014_x86_64"]
    subprocess.run([*pip, "-d", str(wheels), *NEEDED], check=True)
    limit = given.part_mb * 1_000_000
    manifest = {wheel.name: _cut(wheel, given.directory, limit) for wheel in sorted(wheels.glob("*.whl"))}
    wheels.rmdir()
    (given.directory / "install.py").write_text(INSTALL, "utf-8")
    (given.directory / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    total = sum((given.directory / part).stat().st_size for wheel in manifest.values() for part in wheel["parts"])
    print(f"{len(manifest)} wheels, {total / 1e6:.0f} MB, in {given.directory}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", default="3.12", help="the Python of the other machine")
    parser.add_argument("--part-mb", type=int, default=60, help="the largest file that can be carried")
    return parser.parse_args()


def _cut(wheel: Path, to: Path, limit: int) -> dict[str, str | list[str]]:
    """Move ``wheel`` into parts of at most ``limit`` bytes; the account of it in the manifest."""
    data = wheel.read_bytes()
    names = []
    for number, start in enumerate(range(0, len(data), limit)):
        names.append(f"{wheel.name}.{number:02d}")
        (to / names[-1]).write_bytes(data[start : start + limit])
    wheel.unlink()
    return {"sha256": hashlib.sha256(data).hexdigest(), "parts": names}


if __name__ == "__main__":
    main()
