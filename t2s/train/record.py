"""What makes a run the run it is: its settings, base and examples, written down when it starts.

A run goes on with the settings that it began with. What may change is listed in :data:`SAFE`; everything else would
mix two trainings in one adapter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from t2s.config import Config
from t2s.errors import DataError, RunError
from t2s.track.files import without_secrets

RECORD = "run.json"
"""Written when a training starts: what it trains on."""
RESULT = "result.json"
"""Written when a training has finished, last."""

SAFE = (
    "output_dir", "model.name", "model.revision", "data.path", "data.cache_dir", "training.logging_steps",
    "training.save_steps", "training.max_failures", "training.report_to", "training.use_gpu",
    "training.gradient_checkpointing", "inference.*", "search.*", "serve.*", "tracking.*", "ray.*",
)  # fmt: skip
"""Settings that a resumed run may change. The base and the data may have moved, not changed: their fingerprints are
compared. Batch size, accumulation and workers may change if the global batch, their product, stays."""

_BATCH = ("training.batch_size", "training.gradient_accumulation_steps", "training.num_workers")


def identity(config: Config) -> dict[str, str]:
    """The settings that make the numbers of a training, by their paths."""
    settings = flat(without_secrets(config))
    kept = {key: value for key, value in settings.items() if not any(fnmatchcase(key, safe) for safe in SAFE)}
    training = config.training
    batch = training.batch_size * training.gradient_accumulation_steps * training.max_workers
    return {key: value for key, value in kept.items() if key not in _BATCH} | {"the global batch": str(batch)}


def run_id_of(run_dir: Path) -> str:
    """What every checkpoint of a run says of where it belongs."""
    return str(read_json(run_dir / RECORD).get("id"))


def fingerprint_examples(texts: Any) -> str:
    """Of all that a training sees and validates on, token by token."""
    digest = hashlib.sha256()
    for example in (*texts.train, *texts.val):
        digest.update(repr(example).encode())
    return digest.hexdigest()[:16]


def write_record(run_dir: Path, config: Config, examples: str, base: str) -> None:
    """Note what a new run trains on."""
    settings = identity(config)
    about = {"examples": examples, "base": base, "settings": settings}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    _write_json(run_dir / RECORD, {"kind": "train", "id": digest, **about})


def check_record(run_dir: Path, examples: str, base: str) -> None:
    """Raise a :class:`DataError` if the base or the examples are no longer those the run began with."""
    record = read_json(run_dir / RECORD)
    for name, now, cure in (
        ("base", base, "set model.name to the same base"),
        ("examples", examples, "restore the data, or the version of t2s that began the run"),
    ):
        if record.get(name) != now:
            raise DataError(
                f"{run_dir}: the {name} changed since the run began ({record.get(name)} then, {now} now): {cure}, "
                "or start a new run"
            )


def write_result(run_dir: Path, metrics: Mapping[str, float]) -> None:
    """Say that a training has finished."""
    _write_json(run_dir / RESULT, {"metrics": dict(metrics)})


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One line a field that differs."""
    keys = [*then, *(key for key in now if key not in then)]
    width = max((len(key) for key in keys if then.get(key) != now.get(key)), default=0)
    return [
        f"{key:{width}}  {then.get(key, 'nothing')} then, {now.get(key, 'nothing')} now"
        for key in keys
        if then.get(key) != now.get(key)
    ]


def flat(config: Config) -> dict[str, str]:
    def leaves(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from leaves(f"{prefix}.{key}" if prefix else key, item)
        else:
            yield prefix, json.dumps(value)

    return dict(leaves("", config.model_dump(mode="json")))


def _write_json(path: Path, value: object) -> None:
    aside = path.with_name(f"{path.name}.tmp")
    with aside.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {error}; start a new run") from None
    return value if isinstance(value, dict) else {}
