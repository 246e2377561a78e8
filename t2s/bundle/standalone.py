"""Install a bundle of t2s on a machine without a network.

    python3 install.py [--to DIR]        # Python of the manifest's version; the standard library alone

Nothing is written before the manifest, the machine, the space and every part's SHA-256 are checked; a failure or Ctrl-C
takes back what was begun, and what a killed installation left is removed by the next one. This file is
``t2s/bundle/standalone.py`` and, in every bundle, ``install.py``. Not covered: packages added to a virtual environment
that was there before stay if a later step fails.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:  # names that an older Python, which shall be told so, may not have
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Manifest = dict[str, Any]
    Say = Callable[[str], object]

CONFIG = "config.yaml"
MANIFEST, INSTALLER = "manifest.json", "install.py"
FORMAT = 1
KINDS = ("wheels", "model", "data")
UNFINISHED = "t2s-unfinished"
"""In a virtual environment that is being made."""
CHUNK = 1 << 20
MAX_MANIFEST = 50_000_000
PART = re.compile(r"part-\d{4,6}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")


class BundleError(Exception):
    """The bundle is damaged, incomplete or unsafe."""

    exit_code = 3


class UnfitError(BundleError):
    """The machine does not suit the bundle."""

    exit_code = 4


class PlaceError(BundleError):
    """A place to install to is taken, or an argument is wrong."""

    exit_code = 2


class Places:
    """Where things go: the virtual environment, the model and the data, by default below ``to``."""

    def __init__(self, to: Path, venv: Path | None = None, model: Path | None = None, data: Path | None = None) -> None:
        self.to = Path(to).absolute()
        given = {
            "wheels": venv or self.to / "venv",
            "model": model or self.to / "model",
            "data": data or self.to / "data",
        }
        self.of = {kind: Path(path).absolute() for kind, path in given.items()}

    def aside(self, kind: str) -> Path:
        """Where the files of a kind lie until all is well; beside their place, so that a rename finishes it."""
        return self.of[kind].with_name(self.of[kind].name + ".t2s-unpacking")


def install(bundle: Path, places: Places, expected: str | None = None, say: Say = print) -> dict[str, str]:
    """Check everything, then install; returns the settings that lead to what was installed.

    ``expected`` is the manifest's SHA-256, as noted where the bundle was made.
    """
    manifest = read_manifest(bundle, expected)
    kinds = [kind for kind in KINDS if any(_kind(entry) == kind for entry in manifest["files"])]
    _check_entries(bundle, manifest)
    if "wheels" in kinds:
        _check_machine(manifest)
    _check_places(places, kinds)
    _check_space(manifest, places, kinds)
    say(f"checking {len(manifest['parts'])} parts")
    _check_parts(bundle, manifest)
    _put(bundle, manifest, places, kinds, say)
    return _settings(manifest, places, kinds)


def read_manifest(bundle: Path, expected: str | None = None) -> Manifest:
    """The manifest, with every name in it safe."""
    path = bundle / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{path}: no such file: not a bundle, or one whose collection was not finished")
    with path.open("rb") as stream:
        raw = stream.read(MAX_MANIFEST)
    if expected and hashlib.sha256(raw).hexdigest() != expected.lower():
        raise BundleError(f"{path}: its SHA-256 is not {expected}: this is not the bundle that was made")
    try:
        manifest: Manifest = json.loads(raw)
        check_manifest(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: not a manifest of t2s ({type(error).__name__}: {error}): copy it again") from None
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Raise a :class:`BundleError`, or what a wrong type raises, for a manifest that is not safe to follow."""
    if manifest["format"] != FORMAT:
        raise BundleError(f"{MANIFEST}: format {manifest['format']!r}, and this installer knows {FORMAT}")
    paths = [entry["path"] for entry in manifest["files"]]
    for path in (*paths, "data/" + (manifest.get("data_path") or "x")):
        if not is_place(path):
            raise BundleError(f"{MANIFEST}: {path!r} is no place inside a bundle: this bundle is not safe")
    names = [part["name"] for part in manifest["parts"]]
    for name in names:
        if not PART.fullmatch(name):
            raise BundleError(f"{MANIFEST}: {name!r} is no name of a part: this bundle is not safe")
    if len(set(paths)) < len(paths) or len(set(names)) < len(names):
        raise BundleError(f"{MANIFEST}: names a file twice")
    for entry in (*manifest["files"], *manifest["parts"]):
        if not _DIGEST.fullmatch(entry["sha256"]) or type(entry["size"]) is not int or entry["size"] < 0:
            raise BundleError(f"{MANIFEST}: {entry.get('path') or entry['name']}: no size and SHA-256")
    if sum(entry["size"] for entry in manifest["files"]) != sum(part["size"] for part in manifest["parts"]):
        raise BundleError(f"{MANIFEST}: files and parts have different sizes")
    for pin in manifest["requirements"]:
        if not _PIN.fullmatch(pin):
            raise BundleError(f"{MANIFEST}: {pin!r} is no name==version: this bundle is not safe")
    config = manifest.get("config") or {}
    if not all(isinstance(config.get(section, {}), dict) for section in ("model", "data")):
        raise BundleError(f"{MANIFEST}: config.model and config.data are sections of settings")
    if type(manifest.get("unpacked", 0)) is not int or not isinstance(manifest.get("glibc") or "", str):
        raise BundleError(f"{MANIFEST}: unpacked is no number of bytes, or glibc no version")


def is_place(path: str) -> bool:
    """Whether ``path`` names a file inside a bundle and nowhere else, on every system."""
    pure = PurePosixPath(path)
    plain = pure.as_posix() == path and len(pure.parts) > 1 and pure.parts[0] in KINDS
    return plain and ".." not in pure.parts and "\\" not in path and path.isprintable()


def _check_entries(bundle: Path, manifest: Manifest) -> None:
    expected = {part["name"] for part in manifest["parts"]}
    for entry in sorted(bundle.iterdir()):
        if entry.is_symlink() or not entry.is_file():
            raise BundleError(f"{entry}: a link or no file, which does not belong in a bundle; remove it")
        if entry.name not in expected | {MANIFEST, INSTALLER}:
            raise BundleError(f"{entry}: does not belong in this bundle; remove it")
    missing = sorted(name for name in expected if not (bundle / name).is_file())
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise BundleError(f"{bundle}: {listed} not here yet: carry all parts into one directory")


def this_platform() -> str:
    """For example ``linux-x86_64``."""
    return f"{platform.system()}-{platform.machine()}".lower()


def _check_machine(manifest: Manifest) -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if manifest["python"] != here:
        cure = f"run {INSTALLER} with python{manifest['python']}"
        raise UnfitError(f"this is Python {here} and the bundle is for {manifest['python']}: {cure}")
    if manifest["platform"] != this_platform():
        cure = "make a bundle on a machine like this one"
        raise UnfitError(f"this is {this_platform()} and the bundle is for {manifest['platform']}: {cure}")
    kind, version = platform.libc_ver()
    needed = manifest.get("glibc")
    if needed and kind == "glibc" and _numbers(version) < _numbers(needed):
        raise UnfitError(f"this system has glibc {version} and the bundle's wheels need {needed}: use a newer system")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _check_places(places: Places, kinds: Sequence[str]) -> None:
    if len(set(places.of.values())) < len(places.of):
        raise PlaceError("--venv, --model-dir and --data-dir must differ")
    for kind in kinds:
        path = places.of[kind]
        is_venv = kind == "wheels" and ((path / "pyvenv.cfg").is_file() or (path / UNFINISHED).is_file())
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise PlaceError(f"{path}: is there already and is no directory: choose another place")
        if path.is_dir() and any(path.iterdir()) and not is_venv:
            raise PlaceError(f"{path}: holds files already, and nothing is overwritten: choose another place")
    if (places.to / CONFIG).exists():
        raise PlaceError(f"{places.to / CONFIG}: is there already, and nothing is overwritten: choose another --to")


def _check_space(manifest: Manifest, places: Places, kinds: Sequence[str]) -> None:
    wanted: dict[int, tuple[int, Path]] = {}
    for kind in kinds:
        size = sum(entry["size"] for entry in manifest["files"] if _kind(entry) == kind)
        size += int(manifest.get("unpacked", 0)) if kind == "wheels" else 0
        near = next(path for path in places.of[kind].parents if path.is_dir())
        device = near.stat().st_dev
        wanted[device] = (wanted.get(device, (0, near))[0] + size, near)
    for size, near in wanted.values():
        free = shutil.disk_usage(near).free
        if free < size:
            raise UnfitError(
                f"{near}: no space: {_mb(size)} needed, {_mb(free)} free; free some, or choose another disk"
            )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _check_parts(bundle: Path, manifest: Manifest) -> None:
    for part in manifest["parts"]:
        path = bundle / part["name"]
        if path.stat().st_size != part["size"] or digest(path) != part["sha256"]:
            raise BundleError(f"{path}: is not the part that was made (size or SHA-256 differs): copy it again")


def digest(path: Path) -> str:
    """The hex SHA-256 of a file."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            total.update(chunk)
    return total.hexdigest()


def _put(bundle: Path, manifest: Manifest, places: Places, kinds: Sequence[str], say: Say) -> None:
    """Unpack aside, install, and give the places their names at last; on any failure nothing new stays."""
    venv = places.of["wheels"]
    made: list[Path] = []
    named: list[Path] = []
    is_new = not (venv / "pyvenv.cfg").is_file() or (venv / UNFINISHED).is_file()
    asides = {kind: places.aside(kind) for kind in kinds}
    try:
        for aside in (*asides.values(), places.to / CONFIG):
            shutil.rmtree(aside, ignore_errors=True)
            made += _make_parents(aside)
        for aside in asides.values():
            aside.mkdir()
        say("unpacking")
        _unpack(bundle, manifest, asides)
        if "wheels" in kinds:
            _install_wheels(venv, is_new, asides["wheels"], manifest, say)
        for kind in kinds:
            if kind != "wheels":
                named.append(_name(asides[kind], places.of[kind]))
        _write_config(manifest, places, kinds)
        (venv / UNFINISHED).unlink(missing_ok=True)
    except BaseException as error:
        written = [*asides.values(), *named, places.to / CONFIG]  # which was not there, as _check_places saw to
        _remove([*written, *([venv] if is_new and "wheels" in kinds else [])], made)
        if isinstance(error, OSError):
            raise UnfitError(f"{error.filename or bundle}: {error.strerror}; nothing was installed") from None
        raise
    _remove(asides.values(), [])


def _make_parents(path: Path) -> list[Path]:
    """Make the directories above ``path``; returns the new ones, the deepest first."""
    new = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return new


def _remove(whole: Iterable[Path], made: Sequence[Path]) -> None:
    """Remove files and directories, and of those that were ``made`` around them the empty ones."""
    for path in whole:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for parent in sorted(made, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # somebody else put something there
            parent.rmdir()


def _name(aside: Path, place: Path) -> Path:
    if place.is_dir():
        place.rmdir()  # it is empty
    aside.rename(place)
    return place


def _unpack(bundle: Path, manifest: Manifest, asides: dict[str, Path]) -> None:
    """The parts, end to end, are the files, end to end."""
    stream = _Joined([bundle / part["name"] for part in manifest["parts"]])
    with contextlib.closing(stream):
        for entry in manifest["files"]:
            kind, _, rest = entry["path"].partition("/")
            target = asides[kind] / rest
            target.parent.mkdir(parents=True, exist_ok=True)
            if stream.copy(target, entry["size"]) != entry["sha256"]:
                raise BundleError(f"{entry['path']}: is not the file that was collected (SHA-256 differs)")


class _Joined:
    """Several files read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: Iterator[Path] = iter(paths)
        self._file: BinaryIO | None = None

    def copy(self, target: Path, size: int) -> str:
        """Write the next ``size`` bytes to the new file ``target``; returns their SHA-256."""
        total = hashlib.sha256()
        with target.open("xb") as out:
            while size:
                chunk = self._file.read(min(size, CHUNK)) if self._file else b""
                if not chunk:
                    self.close()
                    self._file = next(self._paths).open("rb")
                    continue
                out.write(chunk)
                total.update(chunk)
                size -= len(chunk)
        return total.hexdigest()

    def close(self) -> None:
        if self._file:
            self._file.close()


def _install_wheels(venv: Path, is_new: bool, wheels: Path, manifest: Manifest, say: Say) -> None:
    if is_new:
        shutil.rmtree(venv, ignore_errors=True)
        venv.mkdir(parents=True)
        (venv / UNFINISHED).touch()
        say(f"making {venv}")
        _run([sys.executable, "-m", "venv", str(venv)], "cannot make a virtual environment")
    say(f"installing {len(manifest['requirements'])} packages")
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    options = ["--no-index", "--find-links", str(wheels), "--disable-pip-version-check", "--no-input"]
    _run(
        [str(python), "-m", "pip", "--isolated", "install", *options, *manifest["requirements"]], "pip did not install"
    )


def _run(command: Sequence[str], problem: str) -> None:
    """Run without pip's settings of this machine, which could name an index or another directory of wheels."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(command, env={**kept, "PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        worst = [line for line in said if line.startswith(("ERROR", "Error"))]
        raise UnfitError(f"{problem}: {' '.join((worst or said or ['unknown'])[-1].split())[:400]}")


def _settings(manifest: Manifest, places: Places, kinds: Sequence[str]) -> dict[str, str]:
    """The settings that lead to what was installed."""
    found = {}
    if "model" in kinds:
        found["model.name"] = str(places.of["model"])
    if "data" in kinds:
        found["data.path"] = str(places.of["data"] / (manifest.get("data_path") or ""))
    return found


def _write_config(manifest: Manifest, places: Places, kinds: Sequence[str]) -> None:
    """The configuration that was bundled, with those settings. What JSON says is YAML too."""
    config = manifest.get("config") or {}
    for path, value in _settings(manifest, places, kinds).items():
        section, _, key = path.partition(".")
        config.setdefault(section, {})[key] = value
    (places.to / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def describe(places: Places, settings: dict[str, str]) -> str:
    """What to type next."""
    activate = places.of["wheels"] / "bin" / "activate"
    lines = ["installed. Next:", *([f"  source {shlex.quote(str(activate))}"] if activate.is_file() else [])]
    lines.append("  export HF_HUB_OFFLINE=1")
    lines.append(f"  t2s doctor -c {shlex.quote(str(places.to / CONFIG))}")
    if settings:
        given = " ".join(shlex.quote(f"{key}={value}") for key, value in settings.items())
        lines.append(f"or, with settings of your own: {given}")
    return "\n".join(lines)


def _kind(entry: dict[str, Any]) -> str:
    return str(entry["path"]).partition("/")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, install, return the exit code."""
    parser = argparse.ArgumentParser(description="Install this bundle of t2s; no network is used.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--to", type=Path, default=Path("t2s-home"), help="where venv, model and data go")
    parser.add_argument("--venv", type=Path, help="a virtual environment, there or to be made; default: TO/venv")
    parser.add_argument("--model-dir", type=Path, help="default: TO/model")
    parser.add_argument("--data-dir", type=Path, help="default: TO/data")
    parser.add_argument("--sha256", help="the manifest's SHA-256, as noted where the bundle was made")
    given = parser.parse_args(arguments)
    places = Places(given.to, given.venv, given.model_dir, given.data_dir)
    try:
        print(describe(places, install(given.bundle, places, given.sha256)))
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing was installed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
