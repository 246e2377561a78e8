"""Versions: what t2s needs is here, nothing installed contradicts it, and no setting of the environment breaks it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.utils import canonicalize_name

from t2s.doctor.check import Check, Subject, failed, passed, warned
from t2s.packages import Needed, needed_by, requirements_of, version_of

SHOWN = ("torch", "transformers", "peft", "trl", "ray", "mlflow")
ROOT = "t2s"
BAD_SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": (("0", "false"), "t2s is written for Ray Train V2, and this turns it off"),
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": (("0",), "a batch would hold up every other request"),
}
"""Variables of the environment, values of them, and what those break."""


def versions(subject: Subject) -> Check:
    """Requirements, contradictions, and variables that break something."""
    if version_of(ROOT) is None:
        return warned(
            "t2s runs from a directory and is not installed, so nobody checked what it needs", "pip install ."
        )
    if subject.config.training.report_to == "wandb" and version_of("wandb") is None:
        return failed("training.report_to=wandb, and wandb is not installed", "pip install 't2s[wandb]'")
    for name, (values, why) in BAD_SETTINGS.items():
        if os.environ.get(name, "").lower() in values:
            return failed(f"{name}={os.environ[name]}: {why}", f"unset {name}")
    needed = list(needed_by(ROOT))
    unmet = [each for each in needed if each.version is None or (each.by == ROOT and not each.is_met)]
    if unmet:
        return failed(_listed(unmet), f"pip install {' '.join(sorted({_quoted(each) for each in unmet}))}")
    if others := _contradictions(needed):
        return warned(_listed(others), "pip check lists them all; pip install -U what asks for too little")
    shown = ", ".join(f"{name} {version_of(name)}" for name in SHOWN)
    return passed(f"Python {sys.version.split()[0]}, {shown}; {len({each.name for each in needed})} packages agree")


def _contradictions(needed: list[Needed]) -> list[Needed]:
    """Requirements that any installed package has of what t2s uses, and that are not met."""
    used = {each.name for each in needed}
    return [each for each in (*needed, *_of_others(used)) if not each.is_met and each.version is not None]


def _of_others(used: set[str]) -> Iterator[Needed]:
    for distribution in metadata.distributions():
        name = distribution.name
        if not name or canonicalize_name(name) in used or name == ROOT:
            continue
        for requirement in requirements_of(distribution):
            if canonicalize_name(requirement.name) in used:
                yield Needed(name, requirement, version_of(requirement.name))


def _listed(needed: list[Needed]) -> str:
    more = f"; and {len(needed) - 4} more" if len(needed) > 4 else ""
    return "; ".join(dict.fromkeys(map(str, needed[:4]))) + more


def _quoted(needed: Needed) -> str:
    return f"'{needed.requirement.name}{needed.requirement.specifier}'"
