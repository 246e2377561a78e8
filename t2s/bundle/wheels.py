"""The wheels of this installation: t2s's own, and of everything it needs the versions that are installed here.

pip fetches them (or builds them, where a package has no wheel), so its own settings for indexes and proxies hold. Not
covered: another operating system than this one; packages that only another Python needs (markers are read with this
one), which the installation then names as missing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from t2s.errors import ConfigError, SetupError
from t2s.masking import mask
from t2s.packages import needed_by

ROOT = "t2s"
TORCH_INDEX = "https://download.pytorch.org/whl/"
BATCH = 20
Pins = Mapping[str, str]
Say = Callable[[str], object]


def collect_wheels(to: Path, python: str | None, torch: str | None, say: Say, root: str = ROOT) -> list[str]:
    """Leave in ``to`` the wheels of ``root`` and all that it needs; returns ``name==version`` of each.

    Args:
        python: the Python to install with, for example ``3.12``; None is this one.
        torch: torch's variant, for example ``cpu`` or ``cu126``; None is the one installed here.

    Raises:
        SetupError: pip cannot get one of them; the message is pip's.
    """
    to.mkdir(parents=True, exist_ok=True)
    wheel = _own_wheel(to, root)
    package = _package_of(wheel)
    pins = pins_of(root, () if torch is None else ("torch",), package)
    own: dict[str, str] = {canonicalize_name(root): pins.pop(canonicalize_name(root))}
    other_torch = torch is not None and "torch" in pins_of(root, (), package)
    missing = {name: version for name, version in pins.items() if not _is_there(to, name, version)}
    say(f"{len(pins) + 1} packages, {len(pins) - len(missing)} of their wheels are here already")
    wanted = [f"{name}=={version}" for name, version in sorted(missing.items()) if name != "torch"]
    for start in range(0, len(wanted), BATCH):  # pip keeps nothing of a call that is interrupted
        _pip(to, wanted[start : start + BATCH], python)
    if "torch" in missing:
        _torch(to, missing["torch"], python)
    if other_torch:
        version = metadata.version("torch").partition("+")[0]
        _pip(to, [f"torch=={version}+{torch}"], python, [f"{TORCH_INDEX}{torch}"], constraints=pins)
    keep = {f"{name}=={version}" for name, version in {**pins, **own}.items()}
    return _listed(to, None if other_torch else keep)


def pins_of(root: str, without: Sequence[str] = (), package: metadata.Distribution | None = None) -> dict[str, str]:
    """``root`` (or its ``package``) and all that it needs here, directly or not, with the versions that are installed.

    Raises:
        SetupError: one of them is absent, or is not of a version that ``root`` takes.
    """
    pins: dict[str, str] = {canonicalize_name(root): (package or _distribution(root)).version}
    for needed in needed_by(root, without, package):
        if needed.version is None or (needed.by == canonicalize_name(root) and not needed.is_met):
            asked = f"{needed.requirement.name}{needed.requirement.specifier}"
            raise SetupError(f"{needed}: pip install '{asked}', then bundle again")
        pins[needed.name] = needed.version
    return pins


def unpacked_size(wheels: Iterable[Path]) -> int:
    """Bytes that the wheels take once installed, without what Python compiles of them."""
    total = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            total += sum(member.file_size for member in archive.infolist())
    return total


def newest_glibc(wheels: Iterable[Path]) -> str | None:
    """The glibc that the most demanding of the wheels asks for by its name."""
    asked = []
    for wheel in wheels:
        tags = [tag.platform for tag in parse_wheel_filename(wheel.name)[3]]
        found = [tuple(map(int, pair)) for tag in tags for pair in re.findall(r"manylinux_(\d+)_(\d+)", tag)]
        found += [(2, 17) for tag in tags if tag.startswith("manylinux2014")]
        asked += [min(found)] if found else []  # a wheel of several names suits the oldest of them
    return ".".join(map(str, max(asked))) if asked else None


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise SetupError(f"{name}: is not installed as a package here: pip install it, then bundle again") from None


def _package_of(wheel: Path) -> metadata.Distribution:
    """What the wheel says of itself: the requirements of a checkout may be newer than those that were installed."""
    name, version = wheel.name.split("-")[:2]
    return metadata.PathDistribution(zipfile.Path(wheel, f"{name}-{version}.dist-info/"))


def _own_wheel(to: Path, root: str) -> Path:
    """Build or copy the wheel of ``root`` from where it was installed."""
    pattern = f"{re.sub(r'[-_.]+', '_', root)}-*.whl"
    for stale in to.glob(pattern):
        stale.unlink()
    source = origin_of(_distribution(root))
    # The same sources give the same bytes: a wheel's entries carry this time and not the files'.
    _call(["wheel", "--no-deps", "-w", str(to), source], {"SOURCE_DATE_EPOCH": "1580601600"})
    made = list(to.glob(pattern))
    if len(made) != 1:
        raise SetupError(f"pip made {len(made)} wheels of {root} from {mask(source)}, expected one")
    return made[0]


def origin_of(package: metadata.Distribution) -> str:
    """What pip takes to get the package again from where it came (PEP 610): a place, an address, or name==version.

    One that came from a repository is not sought by its name, which may be somebody else's in the index.
    """
    try:
        origin: dict[str, Any] = json.loads(package.read_text("direct_url.json") or "{}")
        url = str(origin.get("url") or "")
        vcs, folder = origin.get("vcs_info") or {}, origin.get("subdirectory")
        parsed = urlparse(url)
        if not url:
            return f"{package.name}=={package.version}"
        if vcs:
            url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        elif parsed.scheme == "file":
            return str(Path(unquote(parsed.path)) / (folder or ""))
        return f"{url}#subdirectory={folder}" if folder else url
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"{package.name}: direct_url.json cannot be read ({error}): pip install it again") from None


def _pip(
    to: Path, packages: Sequence[str], python: str | None, indexes: Sequence[str] = (), constraints: Pins | None = None
) -> None:
    """Fetch wheels: exactly these, or with ``constraints`` these and what they need."""
    options = [word for index in indexes for word in ("--extra-index-url", index)]
    if constraints is None:
        options.append("--no-deps")
    else:
        file = to.parent / "constraints.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()), "utf-8")
        options += ["-c", str(file)]
    if python is None or python == f"{sys.version_info[0]}.{sys.version_info[1]}":
        _call(["wheel", *options, "-w", str(to), *packages])
    else:
        only = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
        _call(["download", *options, *only, "-d", str(to), *packages])


def _torch(to: Path, version: str, python: str | None) -> None:
    """As pip is set up here; else from PyTorch's own indexes, one for each ``+variant``."""
    try:
        _pip(to, [f"torch=={version}"], python)
    except SetupError:
        variant = version.partition("+")[2]
        if not variant:
            raise
        _pip(to, [f"torch=={version}"], python, [f"{TORCH_INDEX}{variant}"])


def _call(words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", words[0], "--no-input", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")]
        raise SetupError(f"pip {words[0]}: {mask(' '.join((errors or said or ['failed'])[0].split()))[:400]}")


def _is_there(to: Path, name: str, version: str) -> bool:
    return f"{name}=={version}" in _names(to)


def _names(to: Path) -> dict[str, Path]:
    found = {}
    for wheel in to.glob("*.whl"):
        try:
            name, version, *_ = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        found[f"{name}=={version}"] = wheel
    return found


def _listed(to: Path, keep: set[str] | None) -> list[str]:
    """The pins of the wheels that are there. Those that are not wanted (any more) are removed."""
    there = _names(to)
    for pin, wheel in there.items():
        if keep is not None and pin not in keep:
            wheel.unlink()
    lacking = (keep or set()) - set(there)
    if lacking:
        raise SetupError(f"pip left no wheel of {', '.join(sorted(lacking)[:5])}")
    return sorted(pin for pin in there if keep is None or pin in keep)


def check_python(python: str | None) -> str:
    """``3.12`` or this Python's; a :class:`ConfigError` for anything else."""
    if python is not None and not re.fullmatch(r"3\.\d{1,2}", python):
        raise ConfigError(f"--python {python}: expected a version, for example 3.11")
    return python or f"{sys.version_info[0]}.{sys.version_info[1]}"
