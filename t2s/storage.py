"""Data and models in object storage: what ``s3://``, ``gs://`` or ``abfss://`` names, as a copy on this machine.

Credentials, region and endpoint are those of the store's own environment variables or of the machine's role
(``AWS_ACCESS_KEY_ID``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``); none stands in a
setting. The bytes go by pyarrow's file systems (https://arrow.apache.org/docs/python/filesystems.html).

Not covered: a file that changes while it is copied; results, which go to ``output_dir`` and MLflow.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from t2s.errors import ConfigError, DataError, SetupError
from t2s.masking import mask

_REMOTE = re.compile(r"(s3|gs|abfss?):/+(.+)")
"""A path has lost the second slash."""


def remote(place: str | Path) -> str | None:
    """The address if ``place`` is in object storage, else None."""
    found = _REMOTE.fullmatch(str(place))
    return f"{found[1]}://{found[2]}" if found else None


def local_copy(address: str, folder: Path) -> Path:
    """The file or directory at ``address``, copied below ``folder``.

    Nothing is copied again while names, sizes and times there are the same. Two processes may copy at once: the first
    that is ready wins.

    Raises:
        ConfigError: no address of a store.
        DataError: nothing there, or a name that would lead out of the copy.
        SetupError: the store cannot be asked, or the copy cannot be written.
    """
    try:
        store, path = _open(address)
        found = _listed(store, path)
    except ValueError as error:
        raise ConfigError(f"{mask(address)}: no address of a store: {error}") from None
    except OSError as error:
        raise SetupError(f"{mask(address)}: {_line(error)}; are the store's credentials and region set?") from None
    if not found:
        raise DataError(f"{mask(address)}: there is nothing")
    stamp = "\n".join([address, *(f"{name} {info.size} {info.mtime_ns}" for name, info in found.items())])
    target = folder.expanduser() / "remote" / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if not target.is_dir():
        _copy(store, found, target, address)
    return target / PurePosixPath(path).name


def _open(address: str) -> tuple[Any, str]:
    """The store and the path in it."""
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if address.startswith("s3://") and endpoint:  # from_uri would ask Amazon itself for the bucket's region
        return fs.S3FileSystem(endpoint_override=endpoint), address.removeprefix("s3://").rstrip("/")
    store, path = fs.FileSystem.from_uri(address)
    return store, path.rstrip("/")


def _listed(store: Any, path: str) -> dict[str, Any]:
    """Every file below ``path``, or it alone, by its place in the copy."""
    from pyarrow import fs

    itself = store.get_file_info(path)
    if itself.type == fs.FileType.File:
        return {itself.base_name: itself}
    if itself.type == fs.FileType.NotFound:
        return {}
    base = PurePosixPath(path)
    infos = store.get_file_info(fs.FileSelector(path, recursive=True))
    files = [info for info in infos if info.type == fs.FileType.File]
    return {f"{base.name}/{PurePosixPath(info.path).relative_to(base)}": info for info in sorted(files, key=_path)}


def _path(info: Any) -> str:
    return str(info.path)


def _copy(store: Any, found: dict[str, Any], target: Path, address: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        try:
            for name, info in found.items():
                _fetch(store, info, aside, name)
            aside.chmod(0o755)
            _move(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise SetupError(f"{mask(address)}: cannot be copied to {target.parent}: {_line(error)}") from None


def _fetch(store: Any, info: Any, aside: Path, name: str) -> None:
    place = PurePosixPath(name)
    if ".." in place.parts or place.is_absolute() or "\\" in name:
        raise DataError(f"{info.path!r}: would be copied to another place than its own: rename it")
    file = aside / place
    file.parent.mkdir(parents=True, exist_ok=True)
    with store.open_input_stream(info.path) as stream, file.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)


def _move(aside: Path, target: Path) -> None:
    try:
        aside.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _line(error: Exception) -> str:
    return " ".join(mask(str(error)).split())[:300]
