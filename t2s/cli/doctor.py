"""``t2s doctor``: check this machine against a configuration. Each check passes, warns or fails, with its cure."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from t2s.cli.console import out
from t2s.config import Config
from t2s.errors import EXIT_ENVIRONMENT, EXIT_OK, T2SError
from t2s.runtime import pin_paths

MIN_FREE_GB = 5
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Check:
    """One line of the report; ``state`` is pass, warn or fail."""

    name: str
    state: str
    found: str
    cure: str = ""


def doctor_verb(config: Config, as_json: bool) -> int:
    """Run every check, print them, and return the exit code: 4 if one failed."""
    checks = list(run_checks(pin_paths(config)))
    if as_json:
        out.print(json.dumps([asdict(check) for check in checks]), markup=False)
    else:
        colors = {"pass": "green", "warn": "yellow", "fail": "red"}
        for check in checks:
            out.print(f"[{colors[check.state]}]{check.state}[/]  {check.name:<10} ", end="")
            out.print(check.found + (f"\n      → {check.cure}" if check.cure else ""), markup=False)
    return EXIT_ENVIRONMENT if any(check.state == "fail" for check in checks) else EXIT_OK


def run_checks(config: Config) -> Iterator[Check]:
    """The checks, in the order in which a run would meet their subjects."""
    for name, check in _CHECKS.items():
        try:
            yield check(config)
        except T2SError as error:
            yield Check(name, "fail", str(error))


def _versions(config: Config) -> Check:
    from t2s.track.files import describe_environment

    packages = describe_environment()["packages"]
    shown = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "peft", "trl", "ray", "mlflow"))
    return Check("versions", "pass", f"Python {sys.version.split()[0]}, {shown}")


def _device(config: Config) -> Check:
    from t2s.model.precision import pick_device, resolve_precision

    device = pick_device(config.training.use_gpu)
    precision = resolve_precision(config.training.precision, device)
    if device.type == "cpu" and "7b" in config.model.name.lower():
        cure = "use a GPU, or a small model: -c configs/smollm2-135m.yaml"
        return Check("device", "warn", f"{config.model.name} on a CPU takes days", cure)
    return Check("device", "pass", f"{device.type}, {precision}")


def _model(config: Config) -> Check:
    from t2s.model.base import find_base

    base = find_base(config.model)
    return Check("model", "pass", f"{base.name} in {base.directory} ({base.fingerprint})")


def _tokenizer(config: Config) -> Check:
    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer
    from t2s.prompt import build_completion, build_prompt
    from t2s.sql.schema import parse_schema
    from t2s.train.preflight import check_tokens

    tokenizer = load_tokenizer(find_base(config.model))
    schema = parse_schema("TABLE: employees ( id (real), name (text) )")
    check_tokens(tokenizer, [(build_prompt("Who?", schema), build_completion('SELECT "name" FROM "employees"'))])
    same = "; pad is the same token, so labels are masked by position" if _pads_with_end(tokenizer) else ""
    return Check("tokenizer", "pass", f"ends with {tokenizer.eos_token!r}{same}")


def _pads_with_end(tokenizer: object) -> bool:
    return getattr(tokenizer, "pad_token_id", None) == getattr(tokenizer, "eos_token_id", None)


def _data(config: Config) -> Check:
    from t2s.data.pipelines import build_pipeline

    train, val, test = build_pipeline(config.data).prepare()
    return Check("data", "pass", f"{config.data.pipeline}: {len(train)} train, {len(val)} val, {len(test)} test")


def _tracking(config: Config) -> Check:
    from t2s.track.runs import connect, tracking_uri

    uri = tracking_uri(config)
    try:
        connect(config).search_experiments(max_results=1)
    except Exception as error:  # fault boundary: MLflow, SQLAlchemy and HTTP each raise their own
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return Check("tracking", "warn", f"MLflow does not answer: {first}", "start it, or set tracking.uri")
    return Check("tracking", "pass", uri.rsplit("@", 1)[-1])


def _port(config: Config) -> Check:
    serve = config.serve
    with socket.socket() as probe:
        if probe.connect_ex((serve.host, serve.port)) == 0:
            return Check("port", "warn", f"serve.port={serve.port} is in use", "set serve.port to a free one")
    if serve.host not in LOOPBACK:
        return Check(
            "port", "fail", f"serve.host={serve.host} is reachable from outside, without authentication",
            "set serve.host=127.0.0.1 and put an authenticating proxy in front",
        )  # fmt: skip
    return Check("port", "pass", f"{serve.host}:{serve.port} is free")


def _disk(config: Config) -> Check:
    place = next(parent for parent in (config.output_dir, *config.output_dir.parents) if parent.exists())
    free = shutil.disk_usage(Path(place)).free / 1e9
    found = f"{free:.0f} GB free at {place}"
    if free < MIN_FREE_GB:
        return Check("disk", "warn", found, f"free some space: a run wants {MIN_FREE_GB} GB")
    return Check("disk", "pass", found)


_CHECKS: dict[str, Callable[[Config], Check]] = {
    "versions": _versions,
    "device": _device,
    "model": _model,
    "tokenizer": _tokenizer,
    "data": _data,
    "tracking": _tracking,
    "port": _port,
    "disk": _disk,
}
