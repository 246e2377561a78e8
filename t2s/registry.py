"""The registry: every adapter is a version of one registered model in MLflow; ``champion`` is the one served.

A version is the adapter's own directory as an artifact of its run (MLflow's transformers flavor corrupts PEFT
models on a local base), with the base, the data and the scores as tags. The alias ``challenger`` names the
newest version; ``champion`` moves only through :func:`promote`. Not covered: who may move it; that is for the
MLflow server's access control.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from t2s.config import Config
from t2s.errors import AdapterError, SetupError, T2SError, suggest
from t2s.gate import Answers, Comparison, compare, read_answers
from t2s.model.adapter import read_manifest
from t2s.track.runs import connect, experiment_id, tracking_uri

CHAMPION = "champion"
CHALLENGER = "challenger"
ADAPTER = "adapter"
RESULTS = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered adapter: its number, where MLflow keeps it, and the run that made it."""

    number: int
    adapter_uri: str
    run_id: str


@dataclass(frozen=True, slots=True)
class ResolvedAdapter:
    """A directory to load (None for the bare base), and what answers are labelled with."""

    path: Path | None
    version: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Promotion:
    """What :func:`promote` decided, against what, and why. ``p_value`` is None if no test was made."""

    promoted: bool
    reason: str
    p_value: float | None
    version: int
    against: str
    comparison: Comparison | None = None


def register(config: Config, run_dir: Path, run_id: str | None) -> Version:
    """Register ``run_dir/adapter`` as a new version aliased ``challenger``; the same one is not added twice.

    ``run_id`` is the MLflow run that trained it; None makes a run for the adapter alone.

    Raises:
        AdapterError: the adapter is missing, incomplete or changed.
        SetupError: MLflow cannot be reached.
    """
    directory = run_dir / ADAPTER
    tags = _tags(read_manifest(directory), run_dir)
    name = config.tracking.registered_model
    with _mlflow(config) as client:
        found = _known_version(client, name, tags["adapter_sha256"], run_id)
        version = found or _create_version(client, config, directory, run_id, tags)
        if (run_dir / RESULTS).is_file():
            client.log_artifact(version.run_id, str(run_dir / RESULTS), _results_path(version.number))
        client.set_registered_model_alias(name, CHALLENGER, str(version.number))
    return version


def promote(config: Config, version: int, results: Path, *, alpha: float = 0.05, force: bool = False) -> Promotion:
    """Make ``version`` the champion if its answers in ``results`` are significantly better.

    ``results`` is a ``predictions.jsonl`` or the run directory that holds it. The opponent is the present
    champion's answers to the same questions, or the base's in the same file if there is no champion. The test
    is McNemar's exact one, whose p must stay below ``alpha``. ``force`` promotes without a test.
    The decision and its reason are written on the version as tags.

    Raises:
        DataError: the results are missing or malformed.
        AdapterError: no such version.
        SetupError: MLflow cannot be reached.
    """
    file = results / RESULTS if results.is_dir() else results
    answers = read_answers(file, "tuned")
    name = config.tracking.registered_model
    with _mlflow(config) as client:
        candidate = _version(client, name, version)
        champion = _aliased(client, name, CHAMPION)
        client.log_artifact(candidate.run_id, str(file), _results_path(version))
        decision = _decide(client, candidate, champion, file, answers, alpha, force)
        if decision.promoted:
            client.set_registered_model_alias(name, CHAMPION, str(version))
        _write_decision(client, name, decision, champion)
    return decision


def resolve_adapter(config: Config, name: str) -> ResolvedAdapter:
    """Find ``champion`` (or another alias), a version number, an adapter's directory, or ``none``.

    Files of a remote store are downloaded below ``data.cache_dir``. The adapter's hashes are checked.

    Raises:
        AdapterError: nothing of that name, or a damaged adapter; the message says what there is.
        SetupError: MLflow cannot be reached.
    """
    if name == "none":
        return ResolvedAdapter(None, "none", None)
    if "/" in name or (Path(name).is_dir() and not name.isdigit()):
        read_manifest(Path(name))
        return ResolvedAdapter(Path(name).absolute(), Path(name).absolute().as_posix(), None)
    with _mlflow(config) as client:
        model = config.tracking.registered_model
        found = _version(client, model, int(name)) if name.isdigit() else _aliased(client, model, name)
        if found is None:
            raise AdapterError(_nothing_called(client, model, name))
        path = _local_copy(client, config, found)
    read_manifest(path)
    return ResolvedAdapter(path, str(found.number), found.run_id)


def _decide(
    client: Any,
    candidate: Version,
    champion: Version | None,
    file: Path,
    answers: Answers,
    alpha: float,
    force: bool,
) -> Promotion:
    number = candidate.number
    if champion is not None and champion.number == number:
        return Promotion(False, f"version {number} is the champion already", None, number, "itself")
    against = f"champion version {champion.number}" if champion else "the base model"
    if force:
        return Promotion(True, "forced, without a test", None, number, against)
    theirs = _champion_answers(client, champion) if champion else read_answers(file, "base")
    cure = f"run t2s evaluate for both on the same split, or promote --force: {file}"
    if theirs is None:
        return Promotion(False, f"{against} has no predictions in the registry; {cure}", None, number, against)
    if not answers.same_questions(theirs):
        return Promotion(False, f"{against} answered other questions; {cure}", None, number, against)
    result = compare(answers, theirs)
    better = result.wins > result.losses and result.p_value < alpha
    reason = f"{result.sentence(against)} (needed: better, p < {alpha:g})"
    return Promotion(better, reason, result.p_value, number, against, result)


def _write_decision(client: Any, name: str, decision: Promotion, champion: Version | None) -> None:
    tags = {"promotion": "promoted" if decision.promoted else "refused", "promotion_reason": decision.reason}
    tags |= {"promotion_p_value": f"{decision.p_value:.3g}"} if decision.p_value is not None else {}
    tags |= {"replaced_version": str(champion.number)} if decision.promoted and champion else {}
    for key, value in tags.items():
        client.set_model_version_tag(name, str(decision.version), key, value)


def _champion_answers(client: Any, champion: Version) -> Answers | None:
    path = f"{_results_path(champion.number)}/{RESULTS}"
    listed = client.list_artifacts(champion.run_id, _results_path(champion.number))
    if path not in [file.path for file in listed]:
        return None
    with tempfile.TemporaryDirectory() as directory:
        return read_answers(Path(client.download_artifacts(champion.run_id, path, directory)), "tuned")


def _create_version(
    client: Any, config: Config, directory: Path, run_id: str | None, tags: Mapping[str, str]
) -> Version:
    name = config.tracking.registered_model
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="t2s adapters: one version a trained adapter")
    if run_id is None:
        experiment = experiment_id(client, config)
        run_id = client.create_run(experiment, run_name=f"register-{directory.parent.name}").info.run_id
        client.set_terminated(run_id)
    client.log_artifacts(run_id, str(directory), ADAPTER)
    made = client.create_model_version(name, f"runs:/{run_id}/{ADAPTER}", run_id=run_id, tags=dict(tags))
    return Version(int(made.version), f"runs:/{run_id}/{ADAPTER}", run_id)


def _tags(manifest: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    """What a reader of the registry wants to know, from the manifest and the evaluation if there is one."""
    base = manifest["base"]
    tags = {"base": base["name"], "base_fingerprint": base["fingerprint"], "run_dir": run_dir.name}
    tags["prompt_regime"] = str(manifest.get("prompt_regime"))
    tags |= {f"data_{key}": str(value) for key, value in manifest.get("data", {}).items()}
    tags["adapter_sha256"] = manifest["files"]["adapter_model.safetensors"]
    if (run_dir / RESULTS).is_file():
        tags |= read_answers(run_dir / RESULTS, "tuned").scores()
    return tags


def _known_version(client: Any, name: str, sha256: str, run_id: str | None) -> Version | None:
    found = client.search_model_versions(f"name = '{name}' and tags.adapter_sha256 = '{sha256}'")
    return next((_as_version(each) for each in found if run_id in (None, each.run_id)), None)


def _version(client: Any, name: str, number: int) -> Version:
    from mlflow.exceptions import MlflowException

    try:
        return _as_version(client.get_model_version(name, str(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise AdapterError(_nothing_called(client, name, str(number))) from None


def _aliased(client: Any, name: str, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        return _as_version(client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _as_version(found: Any) -> Version:
    return Version(int(found.version), str(found.source), str(found.run_id))


def _nothing_called(client: Any, model: str, name: str) -> str:
    numbers = sorted(int(each.version) for each in client.search_model_versions(f"name = '{model}'"))
    there = f"versions {', '.join(map(str, numbers))}" if numbers else "no adapters yet"
    hint = suggest(name, (CHAMPION, CHALLENGER, "none")) if name not in (CHAMPION, CHALLENGER) else ""
    cure = "train, evaluate and promote one first" if not numbers else "promote one, or name a version"
    return f"adapter {name!r}: not in registry {model!r}, which has {there}{hint}: {cure}, or give a directory"


def _local_copy(client: Any, config: Config, version: Version) -> Path:
    """The adapter's directory in a local artifact store, or a download of it, renamed when complete."""
    parsed = urlparse(f"{client.get_run(version.run_id).info.artifact_uri}/{ADAPTER}")
    local = Path(unquote(parsed.path))
    if parsed.scheme in ("", "file") and local.is_dir():
        return local
    target = config.data.cache_dir.absolute() / "adapters" / f"{version.run_id}-v{version.number}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        Path(client.download_artifacts(version.run_id, ADAPTER, str(aside))).rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _results_path(number: int) -> str:
    return f"versions/{number}"


@contextmanager
def _mlflow(config: Config) -> Iterator[Any]:
    """A client; what MLflow, SQLAlchemy or the network raise in the block becomes a :class:`SetupError`."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        yield connect(config)
    except T2SError:
        raise
    except Exception as error:  # fault boundary: three libraries' errors, none of them a user's language
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SetupError(f"MLflow registry at {tracking_uri(config)}: {problem}; check tracking.uri") from None
