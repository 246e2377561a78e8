"""All checks, in the order in which a run would meet their subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from t2s.config import Config
from t2s.doctor import learning, machine, packages, services, sharing
from t2s.doctor.check import Check, Subject, failed
from t2s.errors import T2SError
from t2s.masking import mask

CHECKS: dict[str, Callable[[Subject], Check]] = {
    "versions": packages.versions,
    "device": machine.device,
    "model": learning.model,
    "tokenizer": learning.tokenizer,
    "data": learning.data,
    "tokens": learning.tokens,
    "memory": machine.memory,
    "adapter": learning.adapter,
    "tracking": services.tracking,
    "ray": services.ray,
    "ports": sharing.ports,
    "access": sharing.access,
    "exposed": sharing.exposed,
    "secrets": sharing.secrets,
    "disk": machine.disk,
}


def run_checks(config: Config) -> Iterator[Check]:
    """Run every check on ``config``, whose paths are absolute; what fails for an earlier one's reason says so.

    A check that raises anything is a failed one: the others still run.
    """
    subject, told = Subject(config), dict[T2SError, str]()  # the errors themselves: an id is given away again
    for name, check in CHECKS.items():
        try:
            found = check(subject)
        except T2SError as error:
            found = failed(f"not checked: see {told[error]}" if error in told else str(error), "")
            told.setdefault(error, name)
        except Exception as error:  # fault boundary: a library's failure must not hide the other checks
            found = failed(f"the check itself failed: {type(error).__name__}: {error}", "see docs/air-gapped.md#doctor")
        yield replace(found.called(name), found=mask(found.found), cure=mask(found.cure))
