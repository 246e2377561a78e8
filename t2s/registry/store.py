"""MLflow's side of the registry: versions, aliases, tags and the files of a version. Knows nothing of scores."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from t2s.config import Config
from t2s.errors import AdapterError, SetupError, T2SError, suggest
from t2s.masking import mask, without_password
from t2s.model.adapter import read_manifest, weights_hash
from t2s.track.runs import connect, tracking_uri

CHAMPION = "champion"
CHALLENGER = "challenger"
ADAPTER = "adapter"
SHA256_TAG = "adapter_sha256"
MAX_TAG_CHARS = 4_000
"""MLflow takes 5,000 on SQLite and fewer on some servers' databases."""


@dataclass(frozen=True, slots=True)
class Version:
    """A registered adapter: its number, where MLflow keeps it, and the run that made it."""

    number: int
    adapter_uri: str
    run_id: str

    @property
    def adapter_path(self) -> str:
        """Where its adapter is among the artifacts of its run."""
        return self.adapter_uri.removeprefix(f"runs:/{self.run_id}/")

    @property
    def folder(self) -> str:
        """Where what is known about it is: around its adapter, or apart from one at the top of its run."""
        parent = PurePosixPath(self.adapter_path).parent.as_posix()
        return f"versions/{self.number}" if parent == "." else parent


class Store:
    """One registered model, through an MLflow client. Raises what MLflow raises; see :func:`open_store`."""

    def __init__(self, client: Any, config: Config) -> None:
        """``config`` says the model's name and where downloads go."""
        self.client, self.config = client, config
        self.model = config.tracking.registered_model

    def numbered(self, number: int) -> Version:
        """The version of this number; an :class:`AdapterError` says what there is instead."""
        from mlflow.exceptions import MlflowException

        try:
            return _as_version(self.client.get_model_version(self.model, str(number)))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise AdapterError(self.nothing_called(str(number))) from None

    def aliased(self, alias: str) -> Version | None:
        """The version that ``alias`` names, if any."""
        from mlflow.exceptions import MlflowException

        try:
            return _as_version(self.client.get_model_version_by_alias(self.model, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def named(self, name: str) -> Version:
        """The version that an alias or a number names; an :class:`AdapterError` says what there is instead."""
        found = self.numbered(int(name)) if _is_number(name) else self.aliased(name)
        if found is None:
            raise AdapterError(self.nothing_called(name))
        return found

    def with_weights(self, sha256: str, run_id: str | None) -> Version | None:
        """The version with these weights, of this run if one is named."""
        found = self.client.search_model_versions(f"name = '{self.model}' and tags.{SHA256_TAG} = '{sha256}'")
        return next((_as_version(each) for each in found if run_id in (None, each.run_id)), None)

    def point(self, alias: str, version: Version) -> None:
        """Move ``alias``."""
        self.client.set_registered_model_alias(self.model, alias, str(version.number))

    def tags(self, version: Version) -> dict[str, str]:
        """The tags of a version."""
        return dict(self.client.get_model_version(self.model, str(version.number)).tags)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags on a version; a long text is cut."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.model, str(version.number), key, value[:MAX_TAG_CHARS])

    def put(self, version: Version, file: Path) -> None:
        """Keep ``file`` beside the version's adapter."""
        self.client.log_artifact(version.run_id, str(file), version.folder)

    @contextmanager
    def file(self, version: Version, name: str) -> Iterator[Path | None]:
        """A copy of a file beside the version's adapter, for the block; None if there is no such file."""
        path = f"{version.folder}/{name}"
        listed = self.client.list_artifacts(version.run_id, version.folder)
        with tempfile.TemporaryDirectory() as directory:
            there = any(each.path == path for each in listed)
            yield Path(self.client.download_artifacts(version.run_id, path, directory)) if there else None

    def checked_copy(self, version: Version) -> Path:
        """The adapter's directory here, complete and with the weights that were registered."""
        path = self._local_copy(version)
        read_manifest(path)
        expected = self.tags(version).get(SHA256_TAG)
        if expected is not None and weights_hash(path) != expected:
            raise AdapterError(
                f"adapter version {version.number}: its weights in {path} are not those that were registered; "
                "remove that directory if it is below data.cache_dir, else register the run again"
            )
        return path

    def nothing_called(self, name: str) -> str:
        """What to say of a name that nothing has."""
        numbers = sorted(int(each.version) for each in self.client.search_model_versions(f"name = '{self.model}'"))
        there = f"versions {', '.join(map(str, numbers))}" if numbers else "no adapters yet"
        hint = suggest(name, (CHAMPION, CHALLENGER, "none")) if name not in (CHAMPION, CHALLENGER) else ""
        cure = "train, evaluate and promote one first" if not numbers else "promote one, or name a version"
        return f"adapter {name!r}: not in registry {self.model!r}, which has {there}{hint}: {cure}, or give a directory"

    def _local_copy(self, version: Version) -> Path:
        """The adapter's directory in a local artifact store, or a download of it, renamed when complete."""
        parsed = urlparse(f"{self.client.get_run(version.run_id).info.artifact_uri}/{version.adapter_path}")
        local = Path(unquote(parsed.path))
        if parsed.scheme in ("", "file") and local.is_dir():
            return local
        target = self.config.data.cache_dir.absolute() / "adapters" / f"{version.run_id}-v{version.number}"
        if not target.is_dir():
            self._download(version, target)
        return target

    def _download(self, version: Version, target: Path) -> None:
        """Several replicas may want it at once: each downloads aside, the first rename wins."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as aside:
            copy = Path(self.client.download_artifacts(version.run_id, version.adapter_path, aside))
            try:
                copy.rename(target)
            except OSError:
                if not target.is_dir():
                    raise


@contextmanager
def open_store(config: Config) -> Iterator[Store]:
    """The registry; what MLflow, SQLAlchemy or the network raise in the block becomes a :class:`SetupError`."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        yield Store(connect(config), config)
    except T2SError:
        raise
    except Exception as error:  # fault boundary: three libraries' errors, none of them a user's language
        problem = mask((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
        uri = without_password(tracking_uri(config))
        raise SetupError(f"MLflow registry at {uri}: {problem}; check tracking.uri") from None


def _as_version(found: Any) -> Version:
    return Version(int(found.version), str(found.source), str(found.run_id))


def _is_number(name: str) -> bool:
    """Whether a name is a version's number (``isdigit`` alone also takes digits of other scripts)."""
    return name.isascii() and name.isdigit()
