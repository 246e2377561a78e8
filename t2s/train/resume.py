"""Going on with a run: which run, whether it may, and from where.

Other settings than those a run began with (:mod:`t2s.train.record`) are refused with each difference named. No
checkpoint is loaded here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from t2s.config import Config, dump, load
from t2s.errors import ConfigError, RunError, suggest
from t2s.runtime import pin_paths
from t2s.track.files import without_secrets
from t2s.track.journal import FILE_NAME, read_journal
from t2s.track.lock import refuse_if_held
from t2s.train.checkpoint import FOLDER, newest_valid, step_of, sweep
from t2s.train.record import RECORD, RESULT, differences, flat, identity, read_json, run_id_of

LAST = "last"


@dataclass(frozen=True)
class Resume:
    """A run to go on with. ``config`` has absolute paths."""

    run_dir: Path
    config: Config
    changed: list[str]
    """Safe settings that differ from the run's own, one line each."""
    is_finished: bool


def plan_resume(run: str, files: Sequence[Path], overrides: Sequence[str]) -> Resume:
    """Find ``run`` (a directory, a name below ``output_dir``, or ``last``) and check the settings against its own.

    Without ``files`` the run's own configuration is used, with ``overrides`` on top.

    Raises:
        ConfigError: no such run, another process works on it, or other settings, which are listed.
    """
    given = load(list(files), list(overrides)) if files else None
    run_dir = find_run(run, (given or load([], _only_output_dir(overrides))).output_dir)
    own = pin_paths(load([run_dir / "config.yaml"], []))
    config = pin_paths(given or load([run_dir / "config.yaml"], list(overrides)))
    refuse_if_held(run_dir)
    is_finished = (run_dir / RESULT).is_file()
    if not is_finished:
        _refuse_changes(run_dir, config)
    changed = differences(flat(own), flat(config))
    return Resume(run_dir, config, changed, is_finished)


def find_run(run: str, output_dir: Path) -> Path:
    """The directory of a training run; a :class:`ConfigError` names near ones."""
    below = _training_runs(output_dir)
    if run == LAST:
        unfinished = [path for path in below if not (path / RESULT).is_file()]
        if not unfinished:
            raise ConfigError(f"--resume {LAST}: no unfinished training in {output_dir}")
        return max(unfinished, key=lambda path: (path / RECORD).stat().st_mtime).resolve()
    for path in (Path(run).expanduser(), output_dir / run):
        if (path / RECORD).is_file():
            return path.resolve()
        if path.is_dir() and (path / "config.yaml").is_file():
            raise ConfigError(f"--resume {run}: {path} holds no training that can go on ({RECORD} is missing)")
    names = [path.name for path in below]
    raise ConfigError(
        f"--resume {run}: no such run, neither a directory nor a name in {output_dir}{suggest(run, names)}"
    )


def update_config(run_dir: Path, config: Config) -> None:
    """Write the settings that the run goes on with."""
    (run_dir / "config.yaml").write_text(dump(without_secrets(config)), encoding="utf-8")


def starting_point(run_dir: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest valid checkpoint, None if none was finished; removes what killed saves left.

    Raises:
        RunError: checkpoints were written, and none of them can be used.
    """
    folder = run_dir / FOLDER
    for path in sweep(folder):
        warn(f"removed {path}, left by a save that was killed")
    found = newest_valid(folder, warn, {"run": run_id_of(run_dir)})
    if found is None and (lost := _steps_with_checkpoints_gone(run_dir)):
        raise RunError(
            f"{run_dir}: a checkpoint of step {lost} was written and {folder} holds none: restore it, or start a new "
            "run; nothing starts from zero in its place"
        )
    return found


def announce_start(run_dir: Path, say: Callable[[str], None]) -> None:
    """On the driver of a resumed run: say from where it goes on, or refuse."""
    found = starting_point(run_dir, lambda text: say(f"warning: {text}"))
    if found is not None:
        say(f"going on from {found}, step {step_of(found)}")
    else:
        say(f"warning: {run_dir} was ended before its first checkpoint: starting it again from step 0")


def resume_command(run_dir: Path) -> str:
    """What to type to go on."""
    import shlex

    near = os.path.relpath(run_dir)
    return f"t2s train --resume {shlex.quote(near if len(near) < len(str(run_dir)) else str(run_dir))}"


def _refuse_changes(run_dir: Path, config: Config) -> None:
    then, now, default = read_json(run_dir / RECORD).get("settings", {}), identity(config), identity(Config())
    # A setting that a later version of t2s added was not there to be written down; its default is what was done.
    now = {key: value for key, value in now.items() if key in then or value != default.get(key)}
    lines = differences(then, now)
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise ConfigError(
            f"{run_dir} began with other settings, and going on would mix two trainings:{listed}\n"
            f"Go on with its own settings ({resume_command(run_dir)}), or start a new run"
        )


def _steps_with_checkpoints_gone(run_dir: Path) -> int:
    """The last step of which the journal says that a checkpoint was written; 0 for none."""
    path = run_dir / FILE_NAME
    rows = read_journal(path) if path.is_file() else []
    return max((int(row["step"]) for row in rows if row.get("checkpoint")), default=0)


def _training_runs(output_dir: Path) -> list[Path]:
    entries = sorted(output_dir.iterdir()) if output_dir.is_dir() else []
    return [path for path in entries if (path / RECORD).is_file() and (path / "config.yaml").is_file()]


def _only_output_dir(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if override.startswith("output_dir=")]
