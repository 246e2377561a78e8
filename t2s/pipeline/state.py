"""What a pipeline has done: ``pipeline.json``, written aside, synced and renamed at every change of a stage.

A stage's directory stands in it before the stage begins, so that whoever comes after a kill finds what it left.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2s.errors import EXIT_FAILED, EXIT_OK, ConfigError, RunError, SetupError
from t2s.track.files import refuse_taken

FILE_NAME = "pipeline.json"
NAMES = ("search", "train", "evaluate", "promote", "deploy")
WITH_PLACE = ("search", "train", "evaluate")
"""The stages that have a run directory of their own."""
START_FILES = frozenset({"run.lock", "config.yaml", "env.json", "code.diff", f"{FILE_NAME}.tmp"})
"""What a run that was killed in its first moment may have left, and nothing else."""

StageState = Literal["pending", "running", "done", "failed", "skipped"]


@dataclass(frozen=True)
class Flags:
    """What was asked for besides the configuration."""

    search: bool = True
    deploy: bool = True
    max_samples: int | None = None
    """Questions of the evaluation, drawn with the seed; all of the test split if None."""


@dataclass(frozen=True)
class Stage:
    """One stage. Times are seconds since 1970."""

    name: str
    state: StageState = "pending"
    place: str = ""
    """The name of its run directory, beside the pipeline's own."""
    settings: dict[str, str] = field(default_factory=dict)
    """Those that its results depend on, as they were when it began."""
    result: dict[str, Any] = field(default_factory=dict)
    began: float | None = None
    ended: float | None = None
    sittings: int = 0
    """How often it was begun or taken up again."""
    error: str = ""

    @property
    def is_begun(self) -> bool:
        """Whether something of it may be on disk."""
        return self.state in ("running", "done", "failed")

    @property
    def seconds(self) -> float | None:
        """From its first beginning to its end, pauses and all."""
        return self.ended - self.began if self.began and self.ended else None


class State:
    """A pipeline's record; every change is on disk when the method returns."""

    def __init__(self, run_dir: Path, flags: Flags, stages: list[Stage], created: float, is_told: bool = False) -> None:
        self.run_dir = run_dir
        self.flags = flags
        self.created = created
        self.is_told = is_told
        """Whether MLflow knows that all stages ended: a pipeline can be killed between its last stage and that."""
        self._stages = {stage.name: stage for stage in stages}

    @classmethod
    def new(cls, run_dir: Path, flags: Flags) -> State:
        """A record of nothing done, which is not written yet."""
        return cls(run_dir, flags, [Stage(name) for name in NAMES], time.time())

    @classmethod
    def read(cls, run_dir: Path) -> State:
        """The record in ``run_dir``; a :class:`RunError` if it cannot be read."""
        path = run_dir / FILE_NAME
        try:
            told = json.loads(path.read_text("utf-8"))
            stages = [Stage(**stage) for stage in told["stages"]]
            if [stage.name for stage in stages] != list(NAMES):
                raise ValueError(f"stages {[stage.name for stage in stages]}")
            return cls(run_dir, Flags(**told["flags"]), stages, float(told["created"]), bool(told.get("told")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read as a pipeline's record: {error}; start a new pipeline") from None

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.run_dir.name

    @property
    def stages(self) -> list[Stage]:
        """All of them, in order."""
        return [self._stages[name] for name in NAMES]

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def place(self, name: str) -> Path | None:
        """The run directory of a stage; None before it has one."""
        place = self._stages[name].place
        return self.run_dir.parent / place if place else None

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.state in ("done", "skipped") for stage in self.stages)

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return EXIT_OK if self.is_finished else EXIT_FAILED

    # -- changes -----------------------------------------------------------------------------------------------------

    def write(self, flags: Flags | None = None) -> None:
        """Put it on disk, with other flags if there are some."""
        self.flags = flags or self.flags
        write_synced(self.run_dir / FILE_NAME, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")

    def begin(self, name: str, settings: Mapping[str, str]) -> None:
        """A stage begins or is taken up; its directory gets its name now."""
        stage = self._stages[name]
        place = stage.place or (self._free_place(name) if name in WITH_PLACE else "")
        self._change(
            name, state="running", place=place, settings=dict(settings), sittings=stage.sittings + 1, error="",
            began=stage.began or time.time(), ended=None,
        )  # fmt: skip

    def end(self, name: str, result: Mapping[str, Any]) -> None:
        """A stage is done."""
        self._change(name, state="done", result=dict(result), ended=time.time())

    def fail(self, name: str, error: str) -> None:
        """A stage ended with an error; it is taken up by the next run."""
        self._change(name, state="failed", error=error, ended=time.time())

    def skip(self, name: str, result: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        """A stage is left out, for the reason in ``result``; it is looked at again by the next run."""
        self._change(name, state="skipped", result=dict(result), settings=dict(settings), error="")

    def redo_from(self, name: str) -> None:
        """Forget a stage and those after it. What they left stays where it is: they get new directories."""
        for later in NAMES[NAMES.index(name) :]:
            self._stages[later] = Stage(later)
        self.is_told = False
        self.write()

    def tell(self) -> None:
        """MLflow knows of the end."""
        self.is_told = True
        self.write()

    def _change(self, name: str, **changes: Any) -> None:
        self._stages[name] = dataclasses.replace(self._stages[name], **changes)
        self.is_told = False
        self.write()

    def _free_place(self, name: str) -> str:
        """``NAME-train``, or ``NAME-train-2`` if somebody's run has that name."""
        place, number = f"{self.name}-{name}", 1
        while (self.run_dir.parent / place).exists():
            number += 1
            place = f"{self.name}-{name}-{number}"
        return place

    def to_dict(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "kind": "pipeline",
            "name": self.name,
            "created": self.created,
            "written": time.time(),
            "flags": dataclasses.asdict(self.flags),
            "told": self.is_told,
            "stages": [dataclasses.asdict(stage) for stage in self.stages],
        }


def write_synced(path: Path, text: str) -> None:
    """Write ``path`` aside, sync it and its directory, and rename: a reader finds the old text or the new one."""
    aside = path.with_name(f"{path.name}.tmp")
    try:
        with aside.open("w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SetupError(f"{path}: cannot be written: {error.strerror}; make room, then run the same again") from None


def clear_start(place: Path) -> None:
    """Take away what a run that was killed in its first moment left in ``place``; more than that is refused."""
    if not place.is_dir():
        return
    left = {entry.name for entry in place.iterdir()}
    if left - START_FILES:
        refuse_taken(place.parent, place.name)
    for name in left:
        (place / name).unlink()


def _is_unfinished(run_dir: Path) -> bool:
    """A damaged record of another pipeline must not hide the one that is looked for."""
    try:
        return not State.read(run_dir).is_finished
    except RunError:
        return False


def find_pipeline(run: str, output_dir: Path) -> Path:
    """The directory of a pipeline: a path, a name below ``output_dir``, or ``last``, the newest unfinished one."""
    from t2s.errors import suggest

    found = sorted(output_dir.glob(f"*/{FILE_NAME}")) if output_dir.is_dir() else []
    if run == "last":
        unfinished = [path for path in found if _is_unfinished(path.parent)]
        if not unfinished:
            raise ConfigError(f"--resume last: no unfinished pipeline in {output_dir}")
        return max(unfinished, key=lambda path: path.stat().st_mtime).parent.resolve()
    for path in (Path(run).expanduser(), output_dir / run):
        if (path / FILE_NAME).is_file():
            return path.resolve()
    names = [path.parent.name for path in found]
    raise ConfigError(f"--resume {run}: no pipeline of that name in {output_dir}{suggest(run, names)}")
