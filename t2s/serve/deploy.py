"""The endpoint as a Serve config file: ``serve deploy FILE``, Ray's REST API and KubeRay's RayService take it.

What stands below ``deployments`` may be changed in the file and deployed again: a changed ``user_config`` is taken in
place, without a restart. What stands below ``args`` builds the application, so that a change there starts it anew.
Tokens are in no file: the processes of the cluster read ``serve.token_file`` or T2S_SERVE_TOKEN where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from t2s.config import Config
from t2s.errors import ConfigError, SetupError
from t2s.runtime import pin_paths, uses_gpu
from t2s.serve.options import api_options, model_options
from t2s.serve.run import APP, GENERATOR, check_access, check_adapter, check_databases, http_options

IMPORT_PATH = "t2s.serve.deploy:application"
_HEAD = """\
# Written by t2s serve --config-out. Deploy it with: serve deploy FILE
# A changed user_config (and max_ongoing_requests) is taken in place; what stands below args starts the model anew.
"""


def application(args: dict[str, Any]) -> Any:
    """Build the application on the cluster. ``args["config"]`` holds sections as in a t2s configuration file.

    Raises:
        ConfigError, DataError, AdapterError, SetupError: as :func:`t2s.serve.run.start` does.
    """
    from t2s.serve.app import build_app

    config, generator = read_args(args)
    digests = check_access(config)
    check_databases(config)
    return build_app(config, check_adapter(config, generator), generator, 1 if uses_gpu(config) else 0, digests)


def read_args(args: dict[str, Any]) -> tuple[Config, str]:
    """The configuration and the engine's name; a ConfigError for other words than ``config`` and ``generator``."""
    unknown = set(args) - {"config", "generator"}
    if unknown:
        raise ConfigError(f"args of {IMPORT_PATH}: unknown {', '.join(sorted(unknown))}; known: config, generator")
    try:
        return Config.model_validate(args.get("config") or {}), str(args.get("generator", GENERATOR))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        raise ConfigError(f"args.config.{'.'.join(map(str, found['loc']))}: {found['msg']}") from None


def serve_config(config: Config, generator: str = GENERATOR) -> dict[str, Any]:
    """What ``config`` means in Ray's schema, with absolute paths: the application is built in another directory."""
    config = pin_paths(config)
    args: dict[str, Any] = {"config": differing(config)}
    if generator != GENERATOR:
        args["generator"] = generator
    changeable = ("num_replicas", "autoscaling_config", "max_ongoing_requests", "user_config")
    deployments = [
        {"name": name} | {key: value for key, value in options.items() if key in changeable}
        for name, options in (("SQLModel", model_options(config, 0)), ("Api", api_options(config)))
    ]
    return {
        "proxy_location": "HeadOnly",
        "http_options": http_options(config),
        "applications": [
            {"name": APP, "route_prefix": "/", "import_path": IMPORT_PATH, "args": args, "deployments": deployments}
        ],
    }


def write_serve_config(config: Config, path: Path, generator: str = GENERATOR) -> None:
    """Write it as YAML; what is there already is replaced. A SetupError if that cannot be."""
    try:
        path.write_text(_HEAD + yaml.safe_dump(serve_config(config, generator), sort_keys=False), "utf-8")
    except OSError as error:
        raise SetupError(f"--config-out {path}: cannot be written: {error.strerror}") from None


def differing(config: Config) -> dict[str, Any]:
    """The settings that are not the defaults, by section: what a person would have written."""
    whole, default = config.model_dump(mode="json"), Config().model_dump(mode="json")
    found: dict[str, Any] = {}
    for name, value in whole.items():
        if isinstance(value, dict):
            value = {key: each for key, each in value.items() if each != default[name][key]}
            if value:
                found[name] = value
        elif value != default[name]:
            found[name] = value
    return found
