"""Which settings the results of a stage depend on, and how they differ from those that it was done with."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

from t2s.config import Config
from t2s.errors import ConfigError
from t2s.pipeline.state import NAMES, Flags, Stage
from t2s.track.files import without_secrets
from t2s.train.record import differences, flat

_MODEL = ("seed", "model.*", "quantization.*", "prompt.*", "data.*")
_OF = {
    "search": (*_MODEL, "lora.*", "training.*", "search.*", "inference.*"),
    "train": (*_MODEL, "lora.*", "training.*"),
    "evaluate": (*_MODEL, "inference.*", "training.precision"),
    "promote": ("tracking.registered_model",),
    "deploy": ("model.*", "quantization.*", "prompt.*", "inference.*", "serve.*", "tracking.registered_model"),
}
_WHERE_AND_HOW = (
    "data.cache_dir", "training.logging_steps", "training.save_steps", "training.max_failures", "training.report_to",
    "training.use_gpu", "training.gradient_checkpointing", "search.slots", "search.hosts",
    "search.max_concurrent_trials", "inference.batch_size",
)  # fmt: skip
"""Where and how it is worked, which may change at any time."""


def settings_of(stage: str, config: Config, flags: Flags) -> dict[str, str]:
    """The settings that the stage's results depend on, by their paths, as text.

    An absolute path counts by its last name: a job finds its files elsewhere each time it is submitted.
    """
    told = {
        key: _moved(value)
        for key, value in flat(without_secrets(config)).items()
        if any(fnmatchcase(key, pattern) for pattern in _OF[stage])
        and not any(fnmatchcase(key, pattern) for pattern in _WHERE_AND_HOW)
    }
    if stage == "train":
        told["--no-search"] = json.dumps(not flags.search)
    if stage == "evaluate":
        told["--max-samples"] = json.dumps(flags.max_samples)
    return told


def refuse_changes(name: str, stages: list[Stage], config: Config, flags: Flags) -> None:
    """Raise a :class:`ConfigError` if a stage of pipeline ``name`` was begun with other settings; one line."""
    for stage in stages:
        if not stage.is_begun or (stage.name == "search" and not flags.search):
            continue
        lines = differences(stage.settings, settings_of(stage.name, config, flags))
        if lines:
            told = "; ".join(re.sub(r" {2,}", " ", line) for line in lines)
            how = "done" if stage.state == "done" else "begun"
            raise ConfigError(
                f"pipeline {name}: {stage.name} was {how} with other settings: {told}: give the settings that it had, "
                f"or do it and what follows again with --from {stage.name}"
            )


def check_stage(name: str) -> str:
    """``name`` if it is a stage; a :class:`ConfigError` names the nearest one."""
    from t2s.errors import suggest

    if name not in NAMES:
        raise ConfigError(f"--from {name}: expected one of {', '.join(NAMES)}{suggest(name, NAMES)}")
    return name


def _moved(value: str) -> str:
    told = json.loads(value)
    return json.dumps(Path(told).name) if isinstance(told, str) and Path(told).is_absolute() else value
