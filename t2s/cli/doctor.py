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
from t2s.serve.access import check_address, load_digests

MIN_FREE_GB = 5
SAMPLE = 500
"""Training examples that the tokenizer is tried on; a run checks all of its own."""


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
    prompt = build_prompt("Who?", schema, config.prompt)
    check_tokens(tokenizer, [(prompt, build_completion('SELECT "name" FROM "employees"'))])
    same = "; pad is the same token, so labels are masked by position" if _pads_with_end(tokenizer) else ""
    return Check("tokenizer", "pass", f"ends with {tokenizer.eos_token!r}{same}")


def _pads_with_end(tokenizer: object) -> bool:
    return getattr(tokenizer, "pad_token_id", None) == getattr(tokenizer, "eos_token_id", None)


def _data(config: Config) -> Check:
    from t2s.data.pipelines import build_pipeline

    train, val, test = build_pipeline(config.data).prepare()
    return Check("data", "pass", f"{config.data.pipeline}: {len(train)} train, {len(val)} val, {len(test)} test")


def _tokens(config: Config) -> Check:
    """The checks that a training begins with, on questions of the data and with the layers that get an adapter."""
    from t2s.data.pipelines import build_pipeline
    from t2s.data.sampling import sample
    from t2s.model.base import find_base
    from t2s.model.load import load_tokenizer
    from t2s.model.skeleton import adapted_layers, build_skeleton
    from t2s.train.preflight import check_tokens, find_unwritable
    from t2s.train.texts import to_text

    files = find_base(config.model)
    tokenizer = load_tokenizer(files)
    adapted_layers(build_skeleton(files), config.lora)
    chosen = sample(build_pipeline(config.data).prepare()[0], SAMPLE, config.seed)
    texts = [to_text(example, config.prompt) for example in chosen]
    examples = check_tokens(tokenizer, texts)
    limit, longest = config.training.max_length, max(map(len, examples))
    cut = sum(len(example) > limit for example in examples)
    lost = len(find_unwritable(tokenizer, texts, examples))
    found = f"{len(examples)} examples end in one {tokenizer.eos_token!r}, a label; the longest has {longest} tokens"
    if cut:
        found += f"; {cut} are over training.max_length={limit} and would be left out"
    if lost:
        found += f"; {lost} queries are not given back letter by letter"
    if cut > len(examples) // 100 or lost > len(examples) // 100:
        return Check("tokens", "warn", found, "raise training.max_length" if cut > lost else "use another tokenizer")
    return Check("tokens", "pass", found)


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
    try:
        check_address(serve, load_digests(serve))
    except T2SError as error:
        return Check("port", "fail", str(error), "make a token: openssl rand -hex 32")
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
    "tokens": _tokens,
    "tracking": _tracking,
    "port": _port,
    "disk": _disk,
}
