"""What an installed package needs, and which versions of that are here: the walk that pip does, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Needed:
    """One requirement of one package, and the version that is installed of it (None: it is absent)."""

    by: str
    requirement: Requirement
    version: str | None

    @property
    def name(self) -> str:
        """The name of what is needed, in its normal form."""
        return canonicalize_name(self.requirement.name)

    @property
    def is_met(self) -> bool:
        """Whether the version is one of those asked for."""
        return self.version is not None and self.requirement.specifier.contains(self.version, prereleases=True)

    def __str__(self) -> str:
        found = f"{self.version} is installed" if self.version else "it is absent"
        return f"{self.by} needs {self.requirement.name}{self.requirement.specifier} and {found}"


def needed_by(root: str, without: Sequence[str] = (), package: metadata.Distribution | None = None) -> Iterator[Needed]:
    """Every requirement of ``root`` that holds here and of what it needs, extras included, each once.

    ``package`` stands for what is installed of ``root``, whose requirements may be older than its sources.

    Raises:
        importlib.metadata.PackageNotFoundError: ``root`` itself is not installed.
    """
    own = package or metadata.distribution(root)
    seen: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(canonicalize_name(root), "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found = own if name == canonicalize_name(root) else metadata.distribution(name)
        for requirement in requirements_of(found, extra):
            needed = Needed(name, requirement, version_of(requirement.name))
            if needed.name in without:
                continue
            yield needed
            if needed.version is not None:
                waiting += [(needed.name, each) for each in ("", *requirement.extras)]


def requirements_of(package: metadata.Distribution, extra: str = "") -> Iterator[Requirement]:
    """The requirements of an installed package that hold on this Python and system."""
    for text in package.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # of an old package; pip would not read it either
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def version_of(name: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
