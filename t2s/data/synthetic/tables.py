"""Draw one table of a domain: which columns, in which order, under which headers, with which rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from t2s.data.synthetic.spec import ColumnSpec, Domain
from t2s.sql.core import Value

HEADER_STYLES = ("title", "title", "title", "snake", "lower", "sentence", "unit")


@dataclass(frozen=True, slots=True)
class DrawnTable:
    """A table with its words: ``specs[i]`` says how people speak of column ``headers[i]``."""

    id: str
    name: str
    domain: Domain
    specs: tuple[ColumnSpec, ...]
    headers: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    @property
    def key(self) -> int:
        """The index of the column that names a row."""
        return self.specs.index(self.domain.columns[0])

    def values(self, column: int) -> list[Value]:
        """One column, top to bottom."""
        return [row[column] for row in self.rows]


def draw_table(rng: Random, domain: Domain, table_id: str) -> DrawnTable:
    """The key column and three to seven others, shuffled, with six to twelve rows."""
    others = rng.sample(domain.columns[1:], rng.randint(3, min(7, len(domain.columns) - 1)))
    specs = [domain.columns[0], *others]
    rng.shuffle(specs)
    style = rng.choice(HEADER_STYLES)
    headers = tuple(styled(rng.choice(spec.headers), spec.unit, style) for spec in specs)
    rows = draw_rows(rng, specs, specs.index(domain.columns[0]), rng.randint(6, 12))
    return DrawnTable(table_id, table_name(rng, domain), domain, tuple(specs), headers, rows)


def draw_rows(rng: Random, specs: list[ColumnSpec], key: int, num_rows: int) -> tuple[tuple[Value, ...], ...]:
    """Rows whose key values differ. Text columns repeat some values, so that filters find several rows."""
    pools = [repeated(rng, spec, num_rows) for spec in specs]
    names: dict[Value, None] = {}
    while len(names) < num_rows:
        names[specs[key].maker.draw(rng)] = None
    return tuple(tuple(name if at == key else rng.choice(pool) for at, pool in enumerate(pools)) for name in names)


def repeated(rng: Random, spec: ColumnSpec, num_rows: int) -> list[Value]:
    """The values that a column draws its cells from."""
    size = num_rows * 2 if spec.type == "real" else max(3, num_rows * 2 // 3)
    return [spec.maker.draw(rng) for _ in range(size)]


def styled(header: str, unit: str, style: str) -> str:
    """The header as this table's author would write it."""
    if style == "snake":
        return snake(header)
    if style == "lower":
        return header.lower()
    if style == "sentence":
        return header[0] + re.sub(r"\b[A-Z](?=[a-z])", lambda found: found[0].lower(), header[1:])
    if style == "unit" and unit and "(" not in header:
        return f"{header} ({unit})"
    return header


def table_name(rng: Random, domain: Domain) -> str:
    """One of the domain's names, mostly in snake case, sometimes as a person would title it."""
    name = rng.choice(domain.tables)
    return rng.choice((snake(name), snake(name), snake(name), name, name.title()))


def snake(name: str) -> str:
    """``Pop. (2010)`` becomes ``pop_2010``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
