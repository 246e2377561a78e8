"""Put an adapter into the registry, and find one there to load."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from t2s.config import Config
from t2s.gate import EVALUATION, PREDICTIONS, read_answers
from t2s.generate.regime import describe_decoding
from t2s.model.adapter import names_directory, read_manifest
from t2s.registry.store import ADAPTER, CHALLENGER, MAX_TAG_CHARS, SHA256_TAG, Store, Version, open_store
from t2s.track.files import without_secrets
from t2s.track.runs import experiment_id

RECORD = "version.json"
"""What a version is, for people and programs: base, data, configuration, scores, prompt and decoding."""


@dataclass(frozen=True, slots=True)
class ResolvedAdapter:
    """A directory to load (None for the bare base), and what answers are labelled with."""

    path: Path | None
    version: str
    run_id: str | None


def register(config: Config, run_dir: Path, run_id: str | None) -> Version:
    """Register ``run_dir/adapter`` as a new version aliased ``challenger``; the same one is not added twice.

    ``run_id`` is the MLflow run that trained it; None makes a run for the adapter alone.

    Raises:
        AdapterError: the adapter is missing, incomplete or changed.
        SetupError: MLflow cannot be reached.
    """
    directory = run_dir / ADAPTER
    manifest = read_manifest(directory)
    with open_store(config) as store:
        found = store.with_weights(manifest["files"]["adapter_model.safetensors"], run_id)
        version = found or _create(store, run_dir, run_id, manifest)
        keep_evaluation(store, version, run_dir)
        store.point(CHALLENGER, version)
    return version


def resolve_adapter(config: Config, name: str) -> ResolvedAdapter:
    """Find ``champion`` (or another alias), a version number, an adapter's directory, or ``none``.

    Files of a remote store are downloaded below ``data.cache_dir``. The adapter's hashes are checked.

    Raises:
        AdapterError: nothing of that name, or a damaged adapter; the message says what there is.
        SetupError: MLflow cannot be reached.
    """
    if name == "none":
        return ResolvedAdapter(None, "none", None)
    if names_directory(name):
        path = Path(name).expanduser().absolute()
        read_manifest(path)
        return ResolvedAdapter(path, path.as_posix(), None)
    with open_store(config) as store:
        return _loadable(store, store.named(name))


def find_adapter(config: Config, alias: str) -> ResolvedAdapter | None:
    """What an alias names, or None if it names nothing; raises what :func:`resolve_adapter` raises besides."""
    with open_store(config) as store:
        found = store.aliased(alias)
        return _loadable(store, found) if found is not None else None


def keep_evaluation(store: Store, version: Version, directory: Path) -> None:
    """Keep the evaluation in ``directory``, if there is one, beside the version, and its scores as tags."""
    if not (directory / PREDICTIONS).is_file():
        return
    answers = read_answers(directory / PREDICTIONS, "tuned")
    answers.check_adapter(store.tags(version).get(SHA256_TAG), directory)
    for name in (PREDICTIONS, EVALUATION):
        if (directory / name).is_file():
            store.put(version, directory / name)
    store.tag(version, answers.scores())


def _loadable(store: Store, version: Version) -> ResolvedAdapter:
    return ResolvedAdapter(store.checked_copy(version), str(version.number), version.run_id)


def _create(store: Store, run_dir: Path, run_id: str | None, manifest: Mapping[str, Any]) -> Version:
    """A folder of its own: the next adapter of the same run must not overwrite the files of this version."""
    client, model = store.client, store.model
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model, description="t2s adapters: one version a trained adapter")
    if run_id is None:
        run_id = client.create_run(experiment_id(client, store.config), run_name=f"register-{run_dir.name}").info.run_id
        client.set_terminated(run_id)
    record = _record(store.config, run_dir, manifest)
    folder = f"versions/{record['adapter']['sha256'][:16]}"
    client.log_artifacts(run_id, str(run_dir / ADAPTER), f"{folder}/{ADAPTER}")
    with tempfile.TemporaryDirectory() as aside:
        file = Path(aside) / RECORD
        file.write_text(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
        client.log_artifact(run_id, str(file), folder)
    uri = f"runs:/{run_id}/{folder}/{ADAPTER}"
    made = client.create_model_version(model, uri, run_id=run_id, tags=_tags(record))
    return Version(int(made.version), uri, run_id)


def _record(config: Config, run_dir: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in :data:`RECORD`. The configuration is that of the run, if it left one, else this one."""
    kept = run_dir / "config.yaml"
    settings = yaml.safe_load(kept.read_text("utf-8")) if kept.is_file() else None
    scored = (run_dir / PREDICTIONS).is_file()
    return {
        "adapter": {"sha256": manifest["files"]["adapter_model.safetensors"], "run_dir": run_dir.name},
        "base": manifest["base"],
        "data": manifest.get("data", {}),
        "prompt_regime": manifest.get("prompt_regime"),
        "prompt": manifest.get("prompt"),
        "decoding": describe_decoding(config.inference),
        "scores": read_answers(run_dir / PREDICTIONS, "tuned").scores() if scored else {},
        "config": settings or without_secrets(config).model_dump(mode="json"),
        "manifest": dict(manifest),
    }


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of MLflow's pages wants to see at a glance."""
    base, adapter = record["base"], record["adapter"]
    tags = {"base": base["name"], "base_fingerprint": base["fingerprint"], "run_dir": adapter["run_dir"]}
    tags |= {"prompt_regime": str(record["prompt_regime"]), "decoding": record["decoding"]["name"]}
    tags |= {f"data_{key}": str(value)[:MAX_TAG_CHARS] for key, value in record["data"].items()}
    return tags | {SHA256_TAG: adapter["sha256"]} | record["scores"]
