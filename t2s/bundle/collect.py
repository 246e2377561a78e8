"""Make a bundle: collect wheels, model and data, cut them into parts, write the manifest last.

An interrupted collection is taken up by the same command: wheels that are here are not fetched again, parts that are
whole are kept. A directory with a manifest is a finished bundle and is left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from t2s import __version__
from t2s.bundle import standalone
from t2s.bundle.parts import ASIDE, Written, write_parts
from t2s.bundle.sources import bundled_config, data_files, model_files
from t2s.bundle.standalone import FORMAT, INSTALLER, MANIFEST, PART, is_place, this_platform
from t2s.bundle.wheels import ROOT, check_python, collect_wheels, newest_glibc, unpacked_size
from t2s.config import Config
from t2s.errors import ConfigError, DataError, SetupError

WORK = ".collecting"
"""Where wheels lie until they are in parts."""


@dataclass(frozen=True)
class Wanted:
    """What goes into a bundle."""

    wheels: bool = True
    model: bool = True
    data: bool = True
    python: str | None = None
    torch: str | None = None
    root: str = ROOT
    """The package whose wheels are collected, with all that it needs."""


@dataclass(frozen=True)
class Collected:
    """A finished bundle."""

    directory: Path
    parts: int
    kept: int
    size: int
    manifest_sha256: str


def collect(out: Path, config: Config, part_size: int, wanted: Wanted, say: Callable[[str], object]) -> Collected:
    """Make a bundle in ``out``.

    Raises:
        ConfigError: ``out`` is taken, or nothing is wanted.
        SetupError: a wheel or the model cannot be had, or there is no space.
        DataError: the data is not there.
    """
    python = check_python(wanted.python)
    _check_out(out)
    sources: dict[str, Path] = {}
    about: dict[str, object] = {"model": None}
    if wanted.model:
        from t2s.model.base import find_base

        base = find_base(config.model)
        sources |= model_files(base)
        about["model"] = {"name": base.name, "fingerprint": base.fingerprint}
    if wanted.data:
        files, about["data_path"] = data_files(config.data)
        sources |= files
        say(f"{len(files)} files of data" if files else f"no data: {config.data.pipeline} makes its own")
    _check_names(sources)
    requirements: list[str] = []
    if wanted.wheels:
        folder = out / WORK / "wheels"
        requirements = collect_wheels(folder, wanted.python, wanted.torch, say, wanted.root)
        wheels = sorted(folder.glob("*.whl"))
        sources |= {f"wheels/{wheel.name}": wheel for wheel in wheels}
        about |= {"glibc": newest_glibc(wheels), "unpacked": unpacked_size(wheels)}
    if not sources:
        raise ConfigError("nothing to bundle: leave out one of --no-wheels, --no-model and --no-data")
    _check_space(out, sources)
    written = write_parts(out, sources, part_size, say)
    about |= {"t2s": __version__, "python": python, "platform": this_platform(), "requirements": requirements}
    about["config"] = bundled_config(config)
    return _finish(out, about, written)


def _check_out(out: Path) -> None:
    if (out / MANIFEST).exists():
        raise ConfigError(f"{out}: holds a finished bundle; choose another directory, or remove it first")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; give a directory")
    for entry in out.iterdir() if out.is_dir() else ():
        if not PART.fullmatch(entry.name) and entry.name not in (WORK, ASIDE, INSTALLER):
            raise ConfigError(f"{out}: holds {entry.name}, which is no part of a bundle; choose an empty directory")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made: {error.strerror}") from None


def _check_names(sources: dict[str, Path]) -> None:
    """What the installation would refuse is refused here, where something can be done about it."""
    for place, path in sources.items():
        if not is_place(place):
            raise DataError(f"{str(path)!r}: its name cannot go into a bundle (control characters, \\): rename it")


def _check_space(out: Path, sources: dict[str, Path]) -> None:
    there = sum(part.stat().st_size for part in out.glob("part-*"))
    needed = sum(path.stat().st_size for path in sources.values()) - there
    free = shutil.disk_usage(out).free
    if free < needed:
        raise SetupError(f"{out}: no space: {needed / 1e6:,.0f} MB more needed, {free / 1e6:,.0f} MB free")


def _finish(out: Path, about: dict[str, object], written: Written) -> Collected:
    shutil.copyfile(standalone.__file__, out / INSTALLER)
    shutil.rmtree(out / WORK, ignore_errors=True)
    manifest = {"format": FORMAT, **about, "files": written.files, "parts": written.parts}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    aside = out / ASIDE
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(out / MANIFEST)
    size = sum(part["size"] for part in written.parts)
    return Collected(out, len(written.parts), written.kept, size, hashlib.sha256(text.encode()).hexdigest())
