"""Get WikiSQL's official archive: download it with resume, or take a local copy; believed once it unpacks.

The digest of the official archive is known (``OFFICIAL``) and what is downloaded from its address must have it.
Another archive is held against ``sha256``, or else against what its manifest recorded when it was first fetched.
The manifest (``wikisql.tar.bz2.json``) is written last: an archive without one is checked again.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.archive import sha256 as digest_of
from t2s.data.archive import unpack
from t2s.data.download import Progress, download, forget
from t2s.data.wikisql import ARCHIVE_NAME
from t2s.errors import ConfigError, DataError, SetupError

URL = "https://github.com/salesforce/WikiSQL/raw/master/data.tar.bz2"
OFFICIAL = "755c728ab188e364575705c8641f3fafd86fb089cb8b08e8c03f01832aae0881"
"""SHA-256 of the official archive (26,164,664 bytes), as huggingface/datasets (``wikisql/dataset_infos.json``) and
facebookresearch/ParlAI (``tasks/wikisql/build.py``) both record it."""
KNOWN = {URL: OFFICIAL}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """The archive, its digest, and against what the digest was held (``official``, ``given``, ``recorded``, or "")."""

    path: Path
    sha256: str
    held_against: str

    @property
    def is_official(self) -> bool:
        """Whether it is the archive that others' WikiSQL scores are for."""
        return self.sha256 == OFFICIAL


def fetch(
    to: Path,
    from_: Path | None = None,
    *,
    url: str = URL,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Leave the archive in the directory ``to``; ``WikiSQLPipeline`` finds it there.

    Args:
        to: the cache directory.
        from_: a local archive to copy; None downloads ``url``. A download that breaks off is taken up again
            by the next call, from the ``.part`` file that it left.
        sha256: the digest that the archive must have, 64 hex digits.
        progress: told of every piece that arrives.

    Raises:
        SetupError: no network, an answer that is not the file, or a disk that takes no more.
        DataError: what arrived is not a whole, safe WikiSQL archive, or not the one that was expected.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"--sha256 {sha256}: expected 64 hex digits")
    target = to / ARCHIVE_NAME
    part = target.with_name(target.name + (".part" if from_ is None else ".copy"))
    try:
        to.mkdir(parents=True, exist_ok=True)
        if from_ is None and target.is_file():
            return _here(target, to, sha256, url)
        if from_ is not None:
            _copy(from_, part)
        else:
            download(url, part, progress or (lambda done, total: None))
        return _believe(part, target, to, sha256, str(from_.resolve()) if from_ else url)
    except OSError as error:
        raise SetupError(f"cannot write {part}: {error.strerror or error}; free space or choose --to") from error


def _here(target: Path, to: Path, sha256: str | None, url: str) -> Fetched:
    """An archive that was fetched before: still the same bytes?"""
    log.info("%s is already here; delete it to download it again", target)
    source = str(_manifest(target).get("source", url))
    fetched = _held(target, target, sha256, source)
    unpack(target, to)
    _write_manifest(target, fetched, source)
    return fetched


def _believe(part: Path, target: Path, to: Path, sha256: str | None, source: str) -> Fetched:
    """Check the digest of ``part``, unpack it, which checks every byte of it, and give it its name."""
    try:
        held = _held(part, target, sha256, source)
        unpack(part, to)
    except DataError:
        forget(part)
        raise
    part.replace(target)
    forget(part)
    fetched = Fetched(target, held.sha256, held.held_against)
    _write_manifest(target, fetched, source)
    return fetched


def _held(path: Path, target: Path, sha256: str | None, source: str) -> Fetched:
    """The digest of ``path`` held against the one expected. Raise :class:`DataError` if they differ."""
    found = digest_of(path)
    manifest = _manifest(target)
    recorded = manifest.get("sha256") if manifest.get("source") == source else None
    if sha256 is not None:
        expected, by, cure = sha256.lower(), "given", "fetch it again, or look where --sha256 comes from"
    elif source in KNOWN:
        expected, by, cure = KNOWN[source], "official", "fetch it again; something changed it on its way"
    elif isinstance(recorded, str):
        cure = f"delete {_manifest_path(target)} if the change is wanted"
        expected, by = recorded, "recorded"
    else:
        return Fetched(path, found, "")
    if found != expected:
        raise DataError(f"{path}: SHA-256 is {found}, expected {expected} ({by}); {cure}")
    return Fetched(path, found, by)


def _manifest_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _manifest(target: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_manifest_path(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _write_manifest(target: Path, fetched: Fetched, source: str) -> None:
    """Written aside and renamed, after everything else."""
    manifest = {
        "sha256": fetched.sha256,
        "bytes": target.stat().st_size,
        "source": source,
        "held_against": fetched.held_against,
        "official": fetched.is_official,
    }
    aside = _manifest_path(target).with_suffix(".new")
    aside.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    aside.replace(_manifest_path(target))


def _copy(archive: Path, to: Path) -> None:
    if archive.is_dir():
        raise ConfigError(f"--from {archive} is a directory; it needs no fetching: set data.path={archive}")
    if not archive.is_file():
        raise DataError(f"--from {archive}: no such file")
    shutil.copyfile(archive, to)
