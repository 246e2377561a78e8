"""Say a logical form as a person would. Values stand in the question letter by letter, as in WikiSQL.

``{what}`` is the selected column in one of its phrasings, ``{rows}`` and ``{row}`` the nouns of a row,
``{mod}`` the conditions after such a noun, ``{several}`` and ``{single}`` the noun with them, ``{have}`` the
condition as a verb phrase. A template whose words are empty is not used.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from string import Formatter

from t2s.data.synthetic.phrasing import modifier, noun, plural, predicate, rank, together
from t2s.data.synthetic.tables import DrawnTable
from t2s.sql.core import AGGREGATIONS, LogicalForm

ALL_ROWS = (
    "List all the {rows}.",
    "Which {rows} are there?",
    "Show me every {row}.",
    "Name all {rows} in the table.",
    "What is the {what} of each {row}?",
)
SOME_ROWS = (
    "{who} are the {several}?",
    "List the {several}.",
    "Name the {several}.",
    "Show me every {row} {mod}.",
    "I am looking for {several}.",
    *["Which {rows} {have}?"] * 4,
    "What is the {what} for {solo}?",
)
ALL_CELLS = (
    "What is the {what} of each {row}?",
    "List the {what} of every {row}.",
    "Show the {what} for all {rows}.",
    "Give me the {what} of all the {rows}.",
    "I want to see the {what} of every {row}.",
)
SOME_CELLS = (
    "What is the {what} of {single}?",
    "What is the {what} for {several}?",
    "Give me the {what} of every {row} {mod}.",
    "For {several}, what is the {what}?",
    "Show the {what} of {several}.",
    "Find the {what} of {single}.",
    "What is the {what} when the {other} is {equal}?",
    "Which {what} goes with the {other} {equal}?",
    "What is the {what} for {solo}?",
    "Which {what} goes with {solo}?",
)
CELL_OF_ONE = (
    "What is the {what} of {name}?",
    "What is the {what} for {name}?",
    "Tell me the {what} of {name}.",
    "{name}: what is the {what}?",
    "Give me the {what} of the {row} {name}.",
    "What {what} does {name} have?",
    "Find the {what} for {name}.",
)
COUNT_ROWS = (
    "How many {several} are there?",
    "Count the {several}.",
    "What is the number of {several}?",
    *["How many {rows} {have}?"] * 4,
)
COUNT_CELLS = (
    "How many {plural} are listed for the {several}?",
    "Count the {plural} of the {several}.",
    "What is the number of {plural} for {several}?",
)
NUMBERS = {
    "AVG": (
        "What is the average {what} of {group}?",
        "What is the mean {what} for {group}?",
        "On average, what is the {what} of {several}?",
        "Give the average {what} of {group}.",
        "How many {count} do {several} have on average?",
    ),
    "SUM": (
        "What is the total {what} of {group}?",
        "Add up the {what} of {group}.",
        "What is the combined {what} of {group}?",
        "What is the sum of the {what} for {group}?",
        "How many {count} do {several} have in total?",
    ),
    "MAX": (
        "What is the {best} {what} of {group}?",
        "Among {group}, what is the {best} {what}?",
        "Tell me the {best} {what} of {group}.",
        *["How {how} is the {superlative} {one}?"] * 2,
    ),
}
NUMBERS["MIN"] = NUMBERS["MAX"]

SOLO_KINDS = ("person", "country", "city", "date", "code")
"""Kinds of value that tell their column by themselves where only one column holds them."""


def say(rng: Random, table: DrawnTable, form: LogicalForm) -> tuple[str, LogicalForm]:
    """A question for ``form``, and the form with its conditions in the question's order."""
    said = [(modifier(rng, table.specs[c.column], c.op, c.value), c) for c in form.conds]
    said.sort(key=lambda pair: rank(pair[0]))
    form = replace(form, conds=tuple(cond for _, cond in said))
    words = vocabulary(rng, table, form, [phrase for phrase, _ in said])
    fitting = [template for template in templates(table, form) if all(words[key] for key in needed(template))]
    question = rng.choice(fitting).format(**words)
    return question[0].upper() + question[1:], form


def templates(table: DrawnTable, form: LogicalForm) -> tuple[str, ...]:
    """The templates that ask for this form; a column's own questions count twice."""
    asks_key, spec = form.sel == table.key, table.specs[form.sel]
    if AGGREGATIONS[form.agg] == "COUNT":
        return COUNT_ROWS if asks_key else COUNT_CELLS
    if form.agg:
        return NUMBERS[AGGREGATIONS[form.agg]]
    if not form.conds:
        return ALL_ROWS if asks_key else ALL_CELLS
    if form.conds[0].column == table.key:
        return CELL_OF_ONE + tuple(ask.replace("{}", "{name}") for ask in spec.ask) * 2
    if asks_key:
        return SOME_ROWS
    asked = tuple(ask.replace("{}", "{single}") for ask in spec.ask) * 2
    return SOME_CELLS + (asked if all(cond.op == 0 for cond in form.conds) else ())


def needed(template: str) -> list[str]:
    """The words that a template fills in."""
    return [key for _, key, _, _ in Formatter().parse(template) if key]


def vocabulary(rng: Random, table: DrawnTable, form: LogicalForm, mods: list[str]) -> dict[str, str]:
    """What the templates may fill in; "" where there is no such thing to say."""
    row, rows = table.domain.row, table.domain.rows
    spec, mod = table.specs[form.sel], together(mods)
    what = noun(rng, spec)
    best = rng.choice(spec.most if AGGREGATIONS[form.agg] == "MAX" else spec.least)
    words = {"row": row, "rows": rows, "mod": mod, "count": spec.count, "how": spec.how, "best": best}
    words |= {"what": "" if what == row else what, "plural": plural(what)}
    words |= {
        "who": "Who" if table.domain.person else "What",
        "superlative": superlative(form, spec.most, spec.least),
    }
    words |= {
        "several": f"{rows} {mod}".strip(),
        "single": f"the {row} {mod}".strip(),
        "one": f"{row} {mod}".strip(),
    }
    words |= {"group": f"{rows} {mod}" if mods else f"all {rows}"}
    return words | words_of_one(rng, table, form, mods)


def words_of_one(rng: Random, table: DrawnTable, form: LogicalForm, mods: list[str]) -> dict[str, str]:
    """What can be said only of a single condition: its verb, its column's name, its bare value."""
    words = dict.fromkeys(("have", "other", "equal", "name", "solo"), "")
    if len(mods) != 1:
        return words
    cond = form.conds[0]
    spec, value = table.specs[cond.column], str(cond.value)
    words["have"] = predicate(spec, mods[0])
    if cond.op == 0:
        words |= {"other": noun(rng, spec), "equal": value, "name": value}
        kinds = [other.maker.kind for other in table.specs]
        words["solo"] = value if spec.maker.kind in SOLO_KINDS and kinds.count(spec.maker.kind) == 1 else ""
    return words


def superlative(form: LogicalForm, most: tuple[str, ...], least: tuple[str, ...]) -> str:
    """The superlative that fits the row itself ("the longest river"), not only its number."""
    words = most if AGGREGATIONS[form.agg] == "MAX" else least
    own = [word for word in words if word not in ("greatest", "highest", "lowest")]
    return (own or list(words))[0]
