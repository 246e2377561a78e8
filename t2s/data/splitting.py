"""Keep the splits apart: divide one file so that nothing is shared, and find what three files share.

*Group* is what may not be in two splits: a database (or schema string), or a question apart from its values.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from t2s.data.faults import Faults
from t2s.data.gold import template
from t2s.data.lines import place
from t2s.data.own import OwnExample
from t2s.errors import ConfigError, DataError
from t2s.sql.schema import render_schema

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shares:
    """How one file is divided: shares of its lines, and the seed of the division."""

    val: float
    test: float
    seed: int

    def __post_init__(self) -> None:
        for name, share in (("val_share", self.val), ("test_share", self.test)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
                raise ConfigError(f"data.options.{name}: expected a number between 0 and 1, found {share!r}")
        if self.val + self.test >= 1:
            raise ConfigError("data.options.val_share and data.options.test_share leave nothing to train on")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"data.options.seed: expected a whole number, found {self.seed!r}")


def split_by(by: str, lines: Sequence[OwnExample], path: Path, shares: Shares) -> list[list[OwnExample]]:
    """Divide ``lines`` into train, val and test, each in the file's order, no group in two of them.

    The same lines, shares and seed give the same splits on every machine. Each split gets at least one group.

    Raises:
        DataError: there are fewer than three groups.
    """
    of: Callable[[OwnExample], str] = _database if by == "database" else _template
    groups: dict[str, list[OwnExample]] = defaultdict(list)
    for own in lines:
        groups[of(own)].append(own)
    if len(groups) < 3:
        raise DataError(f"{path}: {_too_few(by, len(groups))}")
    chosen = _assign({name: len(group) for name, group in groups.items()}, shares)
    log.info("%s: %d lines split by %s (%d groups)", path, len(lines), by, len(groups))
    return [[own for own in lines if chosen[of(own)] == split] for split in range(3)]


def check_leaks(splits: Sequence[Sequence[OwnExample]], faults: Faults) -> list[list[OwnExample]]:
    """The splits without lines whose question over the same schema is in an earlier split; those are faults."""
    seen: dict[tuple[str, str], tuple[int, OwnExample]] = {}
    texts: dict[int, str] = {}
    kept: list[list[OwnExample]] = [[], [], []]
    for number, split in enumerate(splits):
        for own in split:
            schema = texts.setdefault(id(own.example.schema), "") or render_schema(own.example.schema)
            texts[id(own.example.schema)] = schema
            key = (" ".join(own.example.question.casefold().split()), schema)
            first_split, first = seen.setdefault(key, (number, own))
            if first_split == number:
                kept[number].append(own)
            else:
                where = place(first.path, first.line)
                reason = f"the same question over the same schema as {where}; keep it in one split"
                faults.add(own.path, own.line, reason)
    return kept


def check_shared_databases(splits: Sequence[Sequence[OwnExample]], folder: Path, faults: Faults, allowed: bool) -> None:
    """Find databases in two splits: a fault, unless ``allowed`` or there is only one database; then it is said."""
    places: dict[str, list[Path]] = defaultdict(list)
    for split in splits:
        for name, path in {_database(own): own.path for own in split}.items():
            places[name].append(path)
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    if not shared:
        return
    if allowed or len(places) == 1:
        if faults.found and not faults.skip_bad:
            return  # they are refused anyway
        what = "one database" if len(places) == 1 else f"{len(shared)} of {len(places)} databases"
        log.warning("%s: train, val and test ask about %s: the score is for it, not for unseen ones", folder, what)
        return
    for name, paths in shared.items():
        others = " and ".join(path.name for path in paths[:-1])
        faults.add(
            paths[-1], 0,
            f"database {_short(name)} is in {others} too, so that the score would not be for unseen databases; keep "
            "each in one split (lines in one data.jsonl are split so), or set data.options.allow_shared_databases=true",
        )  # fmt: skip


def _short(name: str) -> str:
    line = " ".join(name.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _database(own: OwnExample) -> str:
    return str(own.known.database or own.known.name)


def _template(own: OwnExample) -> str:
    return f"{_database(own)}\0{template(own.example.question, own.example.sql, own.known.dialect)}"


def _too_few(by: str, count: int) -> str:
    if by == "database":
        asked = "all lines ask about one database" if count == 1 else f"the lines ask about {count} databases"
        return (
            f"{asked}; three are needed to split by database. Set data.options.split=question (the score is then "
            "for these databases, not for unseen ones), or write train.jsonl, val.jsonl and test.jsonl yourself"
        )
    return f"{count} questions apart from their values; at least 3 are needed, one a split"


def _assign(sizes: dict[str, int], shares: Shares) -> dict[str, int]:
    """The split (0 train, 1 val, 2 test) of each group: large groups first, to where most is missing."""
    total = sum(sizes.values())
    missing = [total * (1 - shares.val - shares.test), total * shares.val, total * shares.test]
    empty, chosen = {0, 1, 2}, {}
    order = sorted(sizes, key=lambda name: (-sizes[name], _hash(name, shares.seed)))
    for left, name in zip(range(len(order), 0, -1), order, strict=True):
        candidates = empty if left <= len(empty) else {0, 1, 2}
        split = max(sorted(candidates, reverse=True), key=lambda at: missing[at])
        chosen[name] = split
        missing[split] -= sizes[name]
        empty.discard(split)
    return chosen


def _hash(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()
