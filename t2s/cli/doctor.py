"""``t2s doctor``: check this machine against a configuration. Each check passes, warns or fails, with its cure."""

from __future__ import annotations

import json
from dataclasses import asdict

from t2s.cli.console import out
from t2s.cli.plain import plain, plain_json
from t2s.config import Config
from t2s.errors import EXIT_ENVIRONMENT, EXIT_OK
from t2s.runtime import pin_paths

COLORS = {"pass": "green", "warn": "yellow", "fail": "red"}


def doctor_verb(config: Config, as_json: bool) -> int:
    """Run every check, print each as soon as it is known, and return the exit code: 4 if one failed."""
    from t2s.doctor import run_checks

    checks = []
    for check in run_checks(pin_paths(config)):
        checks.append(check)
        if not as_json:
            out.print(f"[{COLORS[check.state]}]{check.state}[/]  {check.name:<10} ", end="")
            out.print(plain(check.found + (f"\n      → {check.cure}" if check.cure else "")), markup=False)
    if as_json:
        out.print(plain_json(json.dumps([asdict(check) for check in checks])), markup=False)
    return EXIT_ENVIRONMENT if any(check.state == "fail" for check in checks) else EXIT_OK
