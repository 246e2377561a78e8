"""Going on with a search that was ended: which one, whether it may, and what has changed.

A search goes on with the space, the data and the ladder that it began with; how many trials, how long, where and how
they are tracked may change (:func:`t2s.search.space.space_fingerprint`).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.config import Config, load
from t2s.errors import ConfigError, DataError, suggest
from t2s.runtime import pin_paths
from t2s.search.record import STUDY, open_storage
from t2s.search.space import space_difference, space_fingerprint
from t2s.track.lock import refuse_if_held
from t2s.train.record import differences, fingerprint_examples, flat

LAST = "last"
RESULT = "result"
"""The study's attribute that says that a search has come to its end."""


@dataclass(frozen=True)
class Resume:
    """A search to go on with. ``config`` has absolute paths."""

    search_dir: Path
    config: Config
    changed: list[str]
    """Settings that differ from the search's own, one line each."""
    is_finished: bool
    """Whether it has its winner and all the trials that ``config`` asks for."""


def plan_resume(run: str, files: Sequence[Path], overrides: Sequence[str]) -> Resume:
    """Find ``run`` (a directory, a name below ``output_dir``, or ``last``) and check the settings against its own.

    Without ``files`` the search's own configuration is used, with ``overrides`` on top.

    Raises:
        ConfigError: no such search, another process works on it, or another space, with each difference.
    """
    given = load(list(files), list(overrides)) if files else None
    only = [override for override in overrides if override.startswith("output_dir=")]
    search_dir = find_search(run, (given or load([], only)).output_dir)
    own = pin_paths(load([search_dir / "config.yaml"], []))
    config = pin_paths(given or load([search_dir / "config.yaml"], list(overrides)))
    refuse_if_held(search_dir)
    attributes, count = _read_study(search_dir)
    refuse_changes(search_dir, attributes, config)
    is_finished = RESULT in attributes and count >= config.search.num_trials
    return Resume(search_dir, config, differences(flat(own), flat(config)), is_finished)


def find_search(run: str, output_dir: Path) -> Path:
    """The directory of a search; a :class:`ConfigError` names near ones."""
    below = [path for path in sorted(output_dir.iterdir()) if _is_search(path)] if output_dir.is_dir() else []
    if run == LAST:
        unfinished = [path for path in below if RESULT not in _read_study(path)[0]]
        if not unfinished:
            raise ConfigError(f"--resume {LAST}: no unfinished search in {output_dir}")
        return max(unfinished, key=lambda path: (path / STUDY).stat().st_mtime).resolve()
    for path in (Path(run).expanduser(), output_dir / run):
        if _is_search(path):
            return path.resolve()
        if path.is_dir() and (path / "config.yaml").is_file():
            raise ConfigError(f"--resume {run}: {path} holds no search that can go on ({STUDY} is missing)")
    names = [path.name for path in below]
    raise ConfigError(f"--resume {run}: no search of that name in {output_dir}{suggest(run, names)}")


def about(config: Config, texts: Any, base: str) -> dict[str, str]:
    """What a search is held against when it is resumed."""
    return {"settings": space_fingerprint(config), "examples": fingerprint_examples(texts), "base": base}


def refuse_changes(search_dir: Path, attributes: dict[str, Any], config: Config) -> None:
    """Raise a :class:`ConfigError` with each difference if ``config`` has another space, data or ladder."""
    lines = space_difference(attributes["settings"], space_fingerprint(config)) if "settings" in attributes else []
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise ConfigError(
            f"{search_dir} began with other settings, and going on would compare what cannot be compared:{listed}\n"
            f"Go on with its own settings ({resume_command(search_dir)}), or start a new search"
        )


def check_material(search_dir: Path, attributes: dict[str, Any], now: dict[str, str]) -> None:
    """Raise a :class:`DataError` if the base or the examples are no longer those the search began with."""
    for name in ("base", "examples"):
        if attributes.get(name, now[name]) != now[name]:
            raise DataError(
                f"{search_dir}: the {name} changed since the search began ({attributes[name]} then, {now[name]} now): "
                "restore it, or start a new search"
            )


def resume_command(search_dir: Path) -> str:
    """What to type to go on."""
    near = os.path.relpath(search_dir)
    return f"t2s search --resume {shlex.quote(near if len(near) < len(str(search_dir)) else str(search_dir))}"


def _is_search(path: Path) -> bool:
    return (path / STUDY).is_file() and (path / "config.yaml").is_file()


def _read_study(search_dir: Path) -> tuple[dict[str, Any], int]:
    """The study's attributes, and how many trials were begun; nothing of one that was never begun."""
    import optuna

    try:
        study = optuna.load_study(study_name=None, storage=open_storage(search_dir))
    except KeyError:  # killed before the study was made
        return {}, 0
    except Exception as error:  # fault boundary: a damaged database raises many kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{search_dir / STUDY}: cannot be read: {first}; start a new search") from error
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]
    return dict(study.user_attrs), len(begun)
