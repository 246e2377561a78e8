"""Against a real MLflow registry on SQLite. The adapters are whole directories with meaningless weights."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from t2s.config import Config, load
from t2s.errors import AdapterError, DataError, SetupError
from t2s.model.adapter import read_manifest
from t2s.registry import Version, promote, register, resolve_adapter
from t2s.registry.store import Store
from t2s.track import Tracker


def run_with_adapter(directory: Path, weights: bytes = b"weights", tuned: str = "", base: str = "") -> Path:
    """A run directory with an adapter and, where given, predictions: '1' a right answer, '0' a wrong one."""
    adapter = directory / "adapter"
    adapter.mkdir(parents=True)
    files = {"adapter_model.safetensors": weights, "adapter_config.json": b"{}"}
    for name, content in files.items():
        (adapter / name).write_bytes(content)
    manifest = {
        "base": {"name": "tiny", "fingerprint": "f00"},
        "prompt_regime": "schema-only/1",
        "data": {"pipeline": "synthetic", "fingerprint": "d00"},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (adapter / "t2s_adapter.json").write_text(json.dumps(manifest))
    if tuned:
        write_predictions(directory / "predictions.jsonl", tuned, base)
    return directory


def write_predictions(file: Path, tuned: str, base: str, prefix: str = "q") -> Path:
    file.parent.mkdir(exist_ok=True)
    rows = []
    for number, mark in enumerate(tuned):
        row = {
            "id": f"{prefix}{number}",
            "question": f"{prefix} {number}?",
            "gold": "SELECT 1",
            "category": "x",
        }
        row["tuned"] = {"sql": "", "lf": mark == "1", "ex": mark == "1"}
        if base:
            row["base"] = {"sql": "", "lf": base[number] == "1", "ex": base[number] == "1"}
        rows.append(json.dumps(row))
    file.write_text("\n".join(rows) + "\n")
    return file


def test_a_registered_adapter_is_the_challenger_and_comes_back_whole(config: Config, tmp_path: Path) -> None:
    run_dir = run_with_adapter(tmp_path / "run", tuned="1100", base="0000")
    run_id = Tracker(config).start_run("train", "train", {})
    version = register(config, run_dir, run_id)
    assert (version.number, version.run_id) == (1, run_id)
    for name in ("1", "challenger"):
        found = resolve_adapter(config, name)
        assert (found.version, found.run_id) == ("1", run_id)
        assert found.path and (found.path / "adapter_model.safetensors").read_bytes() == b"weights"


def test_the_same_adapter_is_registered_once_and_another_is_the_next_version(config: Config, tmp_path: Path) -> None:
    first = register(config, run_with_adapter(tmp_path / "a"), None)
    again = register(config, tmp_path / "a", first.run_id)
    other = register(config, run_with_adapter(tmp_path / "b", b"other"), None)
    assert (first.number, again.number, other.number) == (1, 1, 2)


def test_replicas_that_download_at_once_all_get_the_adapter_and_leave_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "adapters"

    class Bucket:
        """A remote store of one adapter; while it is fetched, another replica is done with the same."""

        def get_run(self, run_id: str) -> Any:
            return SimpleNamespace(info=SimpleNamespace(artifact_uri="s3://bucket/run"))

        def download_artifacts(self, run_id: str, path: str, to: str) -> str:
            (run_with_adapter(tmp_path / "other") / "adapter").rename(kept / "run-v3")
            return str(run_with_adapter(Path(to)) / "adapter")

    store = Store(Bucket(), load([], [f"data.cache_dir={tmp_path}"]))
    assert store._local_copy(Version(3, "runs:/run/adapter", "run")) == kept / "run-v3"
    assert read_manifest(kept / "run-v3") and list(kept.iterdir()) == [kept / "run-v3"]


def test_a_damaged_adapter_is_refused_before_anything_is_registered(config: Config, tmp_path: Path) -> None:
    run_dir = run_with_adapter(tmp_path / "run")
    (run_dir / "adapter" / "adapter_model.safetensors").write_bytes(b"weightz")
    with pytest.raises(AdapterError, match="SHA-256"):
        register(config, run_dir, None)
    with pytest.raises(AdapterError, match="no adapters yet"):
        resolve_adapter(config, "champion")


def test_the_first_champion_must_beat_the_base(config: Config, tmp_path: Path) -> None:
    weak = run_with_adapter(tmp_path / "weak", b"weak", tuned="1110000000", base="0000000000")
    number = register(config, weak, None).number
    refused = promote(config, number, weak)
    assert not refused.promoted and refused.p_value == pytest.approx(0.25) and "3 won" in refused.reason
    strong = run_with_adapter(tmp_path / "strong", b"strong", tuned="1111111100", base="0000000000")
    number = register(config, strong, None).number
    decision = promote(config, number, strong)
    assert decision.promoted and decision.p_value == pytest.approx(2 / 2**8)
    assert resolve_adapter(config, "champion").version == str(number)


def test_a_challenger_must_beat_the_champion_on_the_same_questions(config: Config, tmp_path: Path) -> None:
    first = run_with_adapter(tmp_path / "a", b"a", tuned="1111111100", base="0000000000")
    promote(config, register(config, first, None).number, first)
    equal = run_with_adapter(tmp_path / "b", b"b", tuned="1111111110", base="0000000000")
    number = register(config, equal, None).number
    assert not promote(config, number, equal).promoted
    elsewhere = write_predictions(tmp_path / "elsewhere" / "predictions.jsonl", "1" * 10, "0" * 10, prefix="z")
    refused = promote(config, number, elsewhere.parent)
    assert not refused.promoted and "other questions" in refused.reason and "asks both the same" in refused.reason
    assert resolve_adapter(config, "champion").version == "1"
    assert promote(config, number, equal, force="a test").promoted
    assert resolve_adapter(config, "champion").version == str(number)
    assert "already" in promote(config, number, equal).reason


def test_promotion_without_results_or_version_names_the_cure(config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run t2s evaluate"):
        promote(config, 1, tmp_path)
    write_predictions(tmp_path / "predictions.jsonl", "11", "")
    with pytest.raises(AdapterError, match="not in registry"):
        promote(config, 7, tmp_path)
    number = register(config, run_with_adapter(tmp_path / "run"), None).number
    with pytest.raises(DataError, match="line 1: no answer of the base"):
        promote(config, number, tmp_path)


def test_none_and_a_directory_need_no_registry(tmp_path: Path) -> None:
    config = load([], ["tracking.uri=http://127.0.0.1:1"])
    assert resolve_adapter(config, "none").path is None
    directory = run_with_adapter(tmp_path / "run") / "adapter"
    assert resolve_adapter(config, str(directory)).path == directory
    with pytest.raises(AdapterError, match="no such directory"):
        resolve_adapter(config, "./missing")


def test_a_name_near_a_known_one_is_suggested(config: Config) -> None:
    with pytest.raises(AdapterError, match="did you mean 'champion'"):
        resolve_adapter(config, "champoin")


def test_a_registry_that_is_away_is_a_setup_error(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = load([], [f"tracking.uri=http://127.0.0.1:{bound.getsockname()[1]}"])
        with pytest.raises(SetupError, match=r"check tracking\.uri"):
            resolve_adapter(config, "champion")
