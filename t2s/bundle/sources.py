"""Which files a bundle takes of the base model and of the data, and where they lie in it.

Not covered: the code of a pipeline of one's own (``package.module:Class``), which is a package of its own; databases of
``serve.databases``.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from t2s.config import Config, DataConfig, ServeConfig
from t2s.data.archive import FILES as WIKISQL_FILES
from t2s.data.lines import objects, raising
from t2s.data.pipelines import data_path
from t2s.data.wikisql import ARCHIVE_NAME
from t2s.errors import DataError
from t2s.model.adapter import names_directory
from t2s.model.base import MODEL_FILES, BaseFiles

_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")


def model_files(base: BaseFiles) -> dict[str, Path]:
    """Of a GGUF file that one alone and its ``config.json``, else what a directory of the hub holds; licences too."""
    patterns = [glob.escape(base.gguf), "config.json"] if base.gguf else MODEL_FILES
    found = {file for pattern in (*patterns, *_LICENCES) for file in base.directory.glob(pattern)}
    # The hub's cache holds links to files elsewhere; what they lead to is what is bundled.
    return {f"model/{file.name}": file.resolve() for file in sorted(found) if file.is_file()}


def data_files(config: DataConfig) -> tuple[dict[str, Path], str]:
    """(place in the bundle → file, what ``data.path`` adds to the directory of the data); nothing if it is generated.

    Raises:
        DataError: nothing there, a link, or a database outside the data's folder.
    """
    path = found.expanduser() if (found := data_path(config)) else None
    if config.pipeline == "wikisql" and path is None:
        path = config.cache_dir.expanduser() / ARCHIVE_NAME
    if path is None:
        return {}, ""
    if not path.exists():
        cure = "run `t2s data fetch`, or set data.path" if config.pipeline == "wikisql" else "check data.path"
        raise DataError(f"no data at {path}: {cure}")
    if path.is_file():
        beside = _databases(config, path) if config.pipeline == "jsonl" else {}
        return {f"data/{path.name}": path, **beside}, path.name
    files = dict(_wikisql(path) if config.pipeline == "wikisql" else _below(path, path))
    if not files:
        raise DataError(f"{path}: holds no files to take along; check data.path")
    return files, ""


def _wikisql(root: Path) -> Iterator[tuple[str, Path]]:
    for folder in (root / "data", root):
        found = [folder / name for name in WIKISQL_FILES if (folder / name).is_file()]
        if found:
            yield from ((f"data/{file.name}", file) for file in found)
            return


def _below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder but hidden ones. A link may lead anywhere, so it is refused."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            raise DataError(f"{entry}: is a link; put the file itself there, or take it out of data.path")
        if entry.is_dir():
            yield from _below(entry, root)
        elif entry.is_file():
            yield f"data/{entry.relative_to(root).as_posix()}", entry


def _databases(config: DataConfig, path: Path) -> dict[str, Path]:
    """The databases that the lines of one file name, in its folder."""
    folder = path.parent.resolve()
    inside = (folder / str(config.options.get("databases") or "")).resolve()
    found: dict[str, Path] = {}
    fault = (lambda number, text: None) if config.skip_bad else raising(path)
    for number, record in objects(path, fault):
        name = record.get("database")
        if not isinstance(name, str):
            continue
        file = (inside / name).resolve()
        if not file.is_relative_to(folder) or not file.is_file():
            raise DataError(f"{path}:{number}: database {name!r} is not in {folder}; put it there")
        found[f"data/{file.relative_to(folder).as_posix()}"] = file
    return found


def bundled_config(config: Config) -> dict[str, object]:
    """The settings that go along: without passwords, and without places of this machine."""
    from t2s.track.files import without_secrets

    values: dict[str, object] = without_secrets(config).model_dump(mode="json")
    kept = {name: each for name, each in config.serve.adapters.items() if not names_directory(each)}
    adapter = ServeConfig().adapter if names_directory(config.serve.adapter) else config.serve.adapter
    here: tuple[tuple[str, dict[str, object]], ...] = (
        ("data", {"path": None, "cache_dir": DataConfig().cache_dir.as_posix()}),
        ("serve", {"databases": {}, "token_file": None, "adapter": adapter, "adapters": kept}),
        ("tracking", {"uri": None}),
        ("ray", {"address": None}),
    )
    for section, reset in here:
        values[section] = {**values[section], **reset}  # type: ignore[dict-item]  # sections are mappings
    if config.output_dir.is_absolute():
        values["output_dir"] = Config().output_dir.as_posix()
    return values
