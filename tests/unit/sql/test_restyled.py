"""A query in a model's own style is the same query: quoting, case, spaces, order, parentheses, alias, what follows."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.sql.core import AGGREGATIONS, OPERATORS, Column, Condition, LogicalForm, Table
from t2s.sql.extract import extract_sql
from t2s.sql.official import official_lf_match
from t2s.sql.parse import parse
from t2s.sql.render import render_value

LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="`\u0130\u0131")
NAMES = st.text(LETTERS, min_size=1, max_size=10) | st.sampled_from(
    ["order", "Select", "From x", "No.", 'say "x"', "[c]", "a;b", "-- x", "/* x", "Home team", "O'Brien", "café", "表"]
)
VALUES = (
    st.text(LETTERS, max_size=12)
    | st.integers(-(10**9), 10**9)
    | st.floats(-1e6, 1e6, allow_nan=False)
    | st.sampled_from(["O'Brien", '"', "a;b", "-- x", "1,200", "SELECT"])
)
MIRRORED = {"=": "=", ">": "<", "<": ">"}
AFTER = ["", ";", " ;", "; -- done", "; SELECT 1", "\n\nThis counts.", "\nQUESTION: more?", "```", "\nTABLE: t ( a )"]
BEFORE = ["", " ", "\n", "SQL: ", "```sql\n", "Here it is:\n\n", "```\n"]


@st.composite
def forms(draw: st.DrawFn) -> tuple[Table, LogicalForm]:
    """A table whose names differ in any case and spacing, so that every style means the same column."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=lambda n: " ".join(n.casefold().split())))
    column = st.integers(0, len(names) - 1)
    conds = draw(st.lists(st.builds(Condition, column, st.integers(0, len(OPERATORS) - 1), VALUES), max_size=3))
    lf = LogicalForm(draw(column), draw(st.integers(0, len(AGGREGATIONS) - 1)), tuple(conds))
    return Table("table", tuple(map(Column, names))), lf


class Stylist:
    """Writes one logical form in a way that ``draw`` chooses."""

    def __init__(self, draw: Any, table: Table) -> None:
        self.draw = draw
        self.names = [column.name for column in table.columns]
        self.alias = draw(st.sampled_from(["", "t", "T1"]))

    def one_of(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def word(self, word: str) -> str:
        return self.one_of(word, word.lower(), word.capitalize())

    def space(self) -> str:
        return self.one_of(" ", "  ", "\n", "\t", " /* x */ ")

    def wrap(self, text: str) -> str:
        return self.one_of(text, text, f"({text})", f"( ( {text} ) )")

    def name(self, name: str) -> str:
        styles = ['"' + name.replace('"', '""') + '"', "`" + name.replace("`", "``") + "`"]
        styles += [f"[{name}]"] if "]" not in name else []
        # A plain word that no dialect reserves needs no quotes, in any case.
        styles += [name.upper(), name] if re.fullmatch(r"[A-Za-z]+_[a-z]+", name) else []
        return self.one_of(*styles)

    def column(self, index: int) -> str:
        qualifier = self.one_of("", f"{self.alias}.") if self.alias else ""
        return qualifier + self.name(self.names[index])

    def value(self, value: Any) -> str:
        text = render_value(value)
        known = isinstance(value, str) and any(value.casefold() == name.casefold() for name in self.names)
        squeezed = isinstance(value, str) and " ".join(value.split()) == value and value
        if squeezed and not known:
            return self.one_of(text, '"' + value.replace('"', '""') + '"')
        return text

    def condition(self, condition: Condition) -> str:
        operator = OPERATORS[condition.op]
        column, value = self.wrap(self.column(condition.column)), self.value(condition.value)
        if value.startswith("'") and self.draw(st.booleans()):
            return self.wrap(f"{value} {MIRRORED[operator]} {column}")
        return self.wrap(f"{column}{self.one_of('', ' ')}{self.one_of(operator, operator)} {value}")

    def query(self, lf: LogicalForm) -> str:
        selected = self.wrap(self.column(lf.sel))
        if aggregation := AGGREGATIONS[lf.agg]:
            selected = f"{self.word(aggregation)}{self.one_of('', ' ')}({selected})"
        selected += self.one_of("", " AS n") if lf.agg else ""
        table = self.one_of('"table"', "`table`", "[table]", "table") + (f" AS {self.alias}" if self.alias else "")
        parts = [self.word("SELECT"), selected, self.word("FROM"), table]
        if lf.conds:
            conds = [self.condition(c) for c in self.draw(st.permutations(lf.conds))]
            parts += [self.word("WHERE"), f"{self.space()}{self.word('AND')}{self.space()}".join(conds)]
        return self.space().join(parts)


@settings(max_examples=200)
@given(forms(), st.data())
def test_any_style_is_read_as_the_same_logical_form(case: tuple[Table, LogicalForm], data: st.DataObject) -> None:
    table, lf = case
    query = Stylist(data.draw, table).query(lf)
    text = data.draw(st.sampled_from(BEFORE)) + query + data.draw(st.sampled_from(AFTER))
    assert official_lf_match(parse(extract_sql(text), table), lf), text
