"""What a Ray job runs: the command itself, so that the same job submitted again goes on with its run.

A job of ``t2s submit`` has its id in the environment; of one that was submitted otherwise Ray tells it. A training or a
search takes it as the name of its run, and once that run is there, resumes it. The job's own directory is a copy that
Ray removes, so no result may stay in it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2s.cluster.nodes import ROOT
from t2s.config import Config, load
from t2s.errors import ConfigError, T2SError
from t2s.masking import mask

JOB = "T2S_JOB"
"""In a job's environment: its id."""
_RAYS = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray tells the command of any job about it, as JSON."""


def run_job(verb: str, arguments: Sequence[str]) -> int:
    """Run ``t2s VERB ARGUMENTS`` and return its exit code; as a job it goes on with its run."""
    from t2s.cli.main import run

    words, job = list(arguments), job_id(os.environ)
    try:
        if job is not None:
            words = as_job(verb, words, {**os.environ, JOB: job})
    except T2SError as error:
        print(f"error: {mask(str(error))}", file=sys.stderr)
        return error.exit_code
    return run([verb, *words])


def job_id(environment: Mapping[str, str]) -> str | None:
    """The id of the job that this process is the command of; None if it is none's."""
    if JOB in environment:
        return environment[JOB]
    try:
        return str(json.loads(environment[_RAYS])["metadata"]["job_submission_id"])
    except (KeyError, ValueError, TypeError):
        return None


def as_job(verb: str, arguments: list[str], environment: Any) -> list[str]:
    """The arguments with absolute places for results, and with the run's name or ``--resume``.

    Raises:
        ConfigError: results would be lost with the job's directory.
    """
    given = read_arguments(verb, arguments)
    config = _config(given, Path())
    if config is None:  # the command itself says what is wrong
        return arguments
    places = _outside(config, environment.get(ROOT))
    if verb == "pipeline" and not (given.get("name") or given.get("resume")):
        return [*arguments, *places, "--name", environment[JOB]]
    if verb not in ("train", "search", "pipeline") or given.get("resume") or given.get("report"):
        return [*arguments, *places]
    name = given.get("name") or environment[JOB]
    run_dir = _output_dir(config, environment.get(ROOT)) / name
    # A pipeline goes on with the one of its name by itself.
    if verb != "pipeline" and (run_dir / _sign_of(verb)).is_file():
        return [*_without_name(arguments), *places, "--resume", str(run_dir)]
    return [*arguments, *places, *(() if given.get("name") else ("--name", name))]


def read_arguments(verb: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What the command line would read from its arguments; {} of a verb that it does not have."""
    import typer

    from t2s.cli.main import app

    command = getattr(typer.main.get_command(app), "commands", {}).get(verb)
    if command is None:
        return {}
    try:
        context = command.make_context(verb, list(arguments), resilient_parsing=True)
    except Exception:  # fault boundary: a usage error of click, which typer bundles; the command itself tells it
        return {}
    return dict(context.params)


def tracking_of(verb: str, arguments: Sequence[str], working_dir: Path) -> tuple[str, str] | None:
    """(MLflow server, experiment) that a job will write to; None without a server, or if that cannot be told."""
    from t2s.track.files import without_password

    config = _config(read_arguments(verb, arguments), working_dir)
    if config is None or not (config.tracking.uri or "").startswith(("http://", "https://")):
        return None
    return without_password(str(config.tracking.uri)), config.tracking.experiment


def _config(given: dict[str, Any], working_dir: Path) -> Config | None:
    if "overrides" not in given:
        return None
    files = [working_dir / file for file in given.get("config") or ()]
    try:
        return load(files, given["overrides"] or ())
    except T2SError:
        return None


def _outside(config: Config, root: str | None) -> list[str]:
    """Settings that take results, and what is cached if there is a place for it, out of the job's directory."""
    own = {"output_dir": config.output_dir.expanduser(), "data.cache_dir": config.data.cache_dir.expanduser()}
    if root is None and not own["output_dir"].is_absolute():
        raise ConfigError(
            f"output_dir={config.output_dir} is in the job's own directory, which Ray removes after it: set output_dir "
            f"to an absolute path on a disk that all nodes share, or {ROOT} in the nodes' environment"
        )
    inside = {key: path for key, path in own.items() if not path.is_absolute()}
    return [f"{key}={Path(root) / path}" for key, path in inside.items()] if root else []


def _output_dir(config: Config, root: str | None) -> Path:
    """Where the runs of the job are, once :func:`_outside` has had its say."""
    return Path(root or "") / config.output_dir.expanduser()


def _sign_of(verb: str) -> str:
    """The file by which a directory is a run that can go on."""
    from t2s.search.record import STUDY
    from t2s.train.record import RECORD

    return {"train": RECORD, "search": STUDY}[verb]


def _without_name(arguments: list[str]) -> list[str]:
    """Without ``--name X`` and ``--name=X``."""
    kept, skip = [], False
    for word in arguments:
        if not skip and word != "--name" and not word.startswith("--name="):
            kept.append(word)
        skip = word == "--name"
    return kept


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1], sys.argv[2:]))
