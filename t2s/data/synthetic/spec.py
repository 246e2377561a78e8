"""How a domain is written down: its tables' names, the noun of a row, its columns and their words.

Lists are strings separated by ``|``. A phrase that starts with ``~`` takes no article ("with ~pay above 5").
Modifiers (``eq``, ``gt``, ``lt``) follow the noun of a row, hold ``{}`` for the value, and start with a
preposition or a participle, so that "the films directed by X" and "films are directed by X" both read well.
"""

from __future__ import annotations

from dataclasses import dataclass

from t2s.data.synthetic.values import Maker, ints


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One possible column of a domain.

    ``says`` are its names in questions; ``ask`` are whole questions with ``{}`` for the row asked about;
    ``how`` is the adjective of "How long is the longest ...?"; ``count`` the plural of what is counted.
    """

    headers: tuple[str, ...]
    says: tuple[str, ...]
    maker: Maker
    type: str = "text"
    eq: tuple[str, ...] = ()
    gt: tuple[str, ...] = ()
    lt: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    most: tuple[str, ...] = ("highest", "maximum", "largest", "top")
    least: tuple[str, ...] = ("lowest", "minimum", "smallest")
    how: str = ""
    count: str = ""
    unit: str = ""
    aggs: tuple[str, ...] = ("COUNT",)
    past: bool = False


@dataclass(frozen=True, slots=True)
class Domain:
    """One subject. The first column identifies a row and is in every table of the domain."""

    tables: tuple[str, ...]
    row: str
    rows: str
    columns: tuple[ColumnSpec, ...]
    person: bool = False


def parts(text: str) -> tuple[str, ...]:
    """The non-empty pieces between ``|``."""
    return tuple(piece for piece in text.split("|") if piece)


def domain(tables: str, noun: str, *columns: ColumnSpec, person: bool = False) -> Domain:
    """``noun`` is ``"city|cities"``; the first of ``columns`` names a row."""
    row, rows = noun.split("|")
    return Domain(parts(tables), row, rows, columns, person)


def text(headers: str, says: str, maker: Maker, eq: str = "", ask: str = "") -> ColumnSpec:
    """A column of words."""
    past = maker.kind == "date"
    return ColumnSpec(parts(headers), parts(says), maker, eq=parts(eq), ask=parts(ask), past=past)


def num(
    headers: str,
    says: str,
    maker: Maker,
    *,
    eq: str = "",
    gt: str = "",
    lt: str = "",
    ask: str = "",
    most: str = "",
    least: str = "",
    how: str = "",
    unit: str = "",
    aggs: str = "MAX MIN AVG SUM",
) -> ColumnSpec:
    """A column of measures. Leave ``SUM`` out of ``aggs`` where a total means nothing."""
    generic = ColumnSpec((), (), maker)
    return ColumnSpec(
        parts(headers),
        parts(says),
        maker,
        type="real",
        eq=parts(eq),
        gt=parts(gt),
        lt=parts(lt),
        ask=parts(ask),
        most=parts(most) or generic.most,
        least=parts(least) or generic.least,
        how=how,
        unit=unit,
        aggs=tuple(aggs.split()),
    )


def count(headers: str, what: str, maker: Maker, says: str = "") -> ColumnSpec:
    """A column that counts things: ``what`` is their plural, such as ``seats``."""
    return ColumnSpec(
        parts(headers),
        (f"number of {what}", *parts(says)),
        maker,
        type="real",
        eq=(f"with {{}} {what}", f"with exactly {{}} {what}"),
        gt=(f"with more than {{}} {what}", f"with over {{}} {what}"),
        lt=(f"with fewer than {{}} {what}", f"with less than {{}} {what}"),
        ask=(f"How many {what} does {{}} have?",),
        count=what,
        aggs=("MAX", "MIN", "AVG", "SUM"),
    )


def year(headers: str, says: str, verb: str, first: int, last: int, ask: str = "") -> ColumnSpec:
    """A column of years; ``verb`` is a participle: "released" makes "released after {}"."""
    return ColumnSpec(
        parts(headers),
        parts(says),
        ints(first, last),
        type="real",
        eq=(f"{verb} in {{}}",),
        gt=(f"{verb} after {{}}", f"{verb} later than {{}}"),
        lt=(f"{verb} before {{}}", f"{verb} earlier than {{}}"),
        ask=parts(ask),
        most=("latest", "most recent"),
        least=("earliest", "first"),
        aggs=("MAX", "MIN"),
        past=True,
    )
