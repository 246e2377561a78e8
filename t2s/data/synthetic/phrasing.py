"""The small words: how a column is named, and how a condition is said after or instead of a verb."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from t2s.data.synthetic.spec import ColumnSpec
from t2s.data.synthetic.values import words
from t2s.sql.core import Value

PREPOSITIONS = words("""
in|at|on|from|by|of|for|under|about|with|bound|above|below|after|before|over|older|younger|larger|smaller|
longer|shorter|higher|lower|heavier|lighter|faster|slower|deeper|shallower|wider|narrower|taller|cheaper|
warmer|colder|stronger|weaker|bigger|farther|closer|more|less|absent|worth|currently
""")
SILENT_E = words("""
liv|us|ris|mak|tak|featur|produc|serv|charg|welcom|rat|driv|leav|receiv|los|com|generat|compet|scor
""")
"""Stems of participles that end in a silent e; ``rowing`` and the like end in none of them."""
OVER = ("above {}", "over {}", "of more than {}", "greater than {}", "higher than {}")
UNDER = ("below {}", "under {}", "of less than {}", "lower than {}", "smaller than {}")


def noun(rng: Random, spec: ColumnSpec) -> str:
    """What a person calls the column; its first name half of the time."""
    return (spec.says[0] if rng.random() < 0.5 else rng.choice(spec.says)).lstrip("~")


def with_article(phrase: str) -> str:
    """``a salary``, ``an age``; nothing before ``~pay`` or ``number of ...``."""
    if phrase.startswith(("~", "number of")):
        return phrase.lstrip("~")
    vowel = phrase[0].lower() in "aeio"
    return f"{'an' if vowel else 'a'} {phrase}"


def plural(phrase: str) -> str:
    """``dates of birth``, ``cities``, ``bosses``."""
    head, of, rest = phrase.partition(" of ")
    if head.endswith(("quarters", "waters")):
        return phrase
    if head.endswith("y") and head[-2] not in "aeou":
        return head[:-1] + "ies" + of + rest
    return head + ("es" if head.endswith(("s", "x", "ch", "sh")) else "s") + of + rest


def modifier(rng: Random, spec: ColumnSpec, op: int, value: Value) -> str:
    """A condition that follows the noun of a row: ``with a salary above 500``, ``directed by Ines Berg``."""
    own = (spec.eq, spec.gt, spec.lt)[op]
    pattern = rng.choice(own) if own and rng.random() < 0.65 else generic(rng, spec, op)
    if re.match(r"[AEIOUaeiou8]|1[18](?!\d)", str(value)):
        pattern = pattern.replace(" a {}", " an {}")
    return pattern.replace("{}", str(value))


def generic(rng: Random, spec: ColumnSpec, op: int) -> str:
    """A condition that names the column."""
    phrase = spec.says[0] if rng.random() < 0.5 else rng.choice(spec.says)
    name, owned = phrase.lstrip("~"), with_article(phrase)
    if op == 0 and spec.type == "text":
        return rng.choice((f"with {{}} as {name}", f"whose {name} is {{}}", f"with the {name} {{}}"))
    if spec.past:
        return f"whose {name} is {('{}', 'after {}', 'before {}')[op]}"
    if op == 0 and name.startswith("number of"):
        return f"whose {name} is {{}}"
    if op == 0:
        return rng.choice((f"with {owned} of {{}}", f"whose {name} is {{}}", f"whose {name} equals {{}}"))
    loose = ("greater than {}", "more than {}", "over {}") if op == 1 else ("less than {}", "below {}", "under {}")
    if name.startswith("number of"):
        return f"whose {name} is {rng.choice(loose)}"
    return rng.choice(
        (f"with {owned} {rng.choice(OVER if op == 1 else UNDER)}", f"whose {name} is {rng.choice(loose)}")
    )


def predicate(spec: ColumnSpec, phrase: str) -> str:
    """The modifier as a verb phrase of several rows: ``have a salary above 5``, ``were hired in 2010``.

    "" where there is none (``whose salary is 5``).
    """
    if phrase.startswith("with "):
        return f"have{phrase[4:]}"
    if phrase.startswith("whose "):
        return ""
    first, _, rest = phrase.partition(" ")
    if first.endswith("ing"):
        return f"{present(first)} {rest}"
    return f"{'were' if spec.past and first not in PREPOSITIONS else 'are'} {phrase}"


def present(participle: str) -> str:
    """``earning`` to ``earn``, ``living`` to ``live``, ``winning`` to ``win``."""
    stem = participle[:-3]
    if stem.endswith(SILENT_E):
        return stem + "e"
    return stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "ls" else stem


def rank(phrase: str) -> int:
    """Where a modifier stands among others: participles first, then ``with``, then ``whose``."""
    return 1 if phrase.startswith("with ") else 2 if phrase.startswith("whose ") else 0


def together(phrases: Sequence[str]) -> str:
    """Modifiers in the order of their :func:`rank`: ``in Oslo with a salary above 5 and 3 children``."""
    text = ""
    for before, phrase in zip(("", *phrases), phrases, strict=False):
        if not before:
            text = phrase
        elif rank(before) != rank(phrase):
            text += f" {phrase}"
        else:
            text += f" and {phrase.removeprefix('with ')}"
    return text
