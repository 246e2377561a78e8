"""Directories that are complete or absent: written aside, renamed when whole, believed with a manifest."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2s.errors import SetupError

MANIFEST = "manifest.json"


def build_once(target: Path, write: Callable[[Path], dict[str, Any]]) -> Path:
    """Return ``target``, filling it with ``write(empty_directory)`` if it is not there yet.

    ``write`` returns the manifest, which is written last. Two processes may build at once: the first to
    finish wins. A directory without a manifest is a half-finished one of some other hand, and is replaced.

    Raises:
        SetupError: the cache cannot be written (permission, disk full).
    """
    if (target / MANIFEST).is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise SetupError(f"cannot write to the cache {target.parent}: {error}; set data.cache_dir") from error
    try:
        manifest = write(aside)
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _move(aside, target)
    except OSError as error:
        raise SetupError(f"cannot fill the cache {target}: {error}; set data.cache_dir") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _move(aside: Path, target: Path) -> None:
    """Rename ``aside`` to ``target``, unless another process has just done the same."""
    aside.chmod(0o755)
    if target.exists() and not (target / MANIFEST).is_file():
        shutil.rmtree(target)
    try:
        aside.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():
            raise
