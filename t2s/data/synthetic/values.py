"""What the cells of a synthetic table hold: names, places, codes, dates and numbers, drawn with a seed.

A :class:`Maker` has a *kind*: a question may give a value without naming its column ("What is the salary for
Anna Berg?") only where one column of the table holds that kind of value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from t2s.sql.core import Value


def words(text: str) -> tuple[str, ...]:
    """The words that ``|`` separates; line breaks are nothing."""
    return tuple(text.replace("\n", "").split("|"))


FIRST = words("""
Anna|Omar|Lucia|Jonas|Mei|Pavel|Ines|Tariq|Greta|Hugo|Amina|Leo|Sofia|Kofi|Elena|Marco|Yuki|Nadia|Peter|
Rosa|Ivan|Clara|Samir|Helen|Diego|Astrid|Ravi|Judith|Emil|Paula|Tomas|Farah|Oscar|Lena|Viktor|Zara|Simon|
Hana|Arthur|Bianca|Malik|Edith|Rafael|Noor|Felix|Carla|Boris|Teresa|Alan|Miriam
""")
LAST = words("""
Berg|Silva|Novak|Tanaka|Haddad|Moreau|Keller|Okafor|Rossi|Lindqvist|Patel|Costa|Dubois|Fischer|Ivanov|
Khan|Larsen|Mendes|Nakamura|Olsen|Pereira|Quinn|Romero|Schmidt|Torres|Ueda|Varga|Walsh|Young|Zhang|Abbott|
Brandt|Castillo|Doyle|Eriksen|Farkas|Greco|Hansen|Ibarra|Jensen|Kovacs|Lopez|Marsh|Nolan|Ortiz|Petrov|
Reyes|Sato
""")
CITIES = words("""
Lisbon|Oslo|Kyoto|Lagos|Turin|Boston|Quito|Porto|Dublin|Hanoi|Denver|Lyon|Cairo|Perth|Bergen|Krakow|Lima|
Seattle|Ghent|Accra|Osaka|Malmo|Austin|Zagreb|Leeds|Nairobi|Seville|Tampere|Halifax|Santiago|New Orleans|
Cape Town|San Diego|Hong Kong|Tel Aviv|Glasgow|Riga|Busan|Montreal|Valencia|Casablanca|Auckland|Basel|
Utrecht
""")
COUNTRIES = words("""
Norway|Brazil|Japan|Kenya|Italy|Canada|Peru|Portugal|Ireland|Vietnam|Egypt|Poland|Chile|Ghana|Sweden|
Croatia|Spain|Finland|Mexico|Turkey|South Korea|New Zealand|Morocco|Switzerland|Netherlands|India|Greece|
Iceland|Austria|Argentina|Indonesia|France|Germany|Denmark|Ecuador|Philippines
""")
MONTHS = words("January|February|March|April|May|June|July|August|September|October|November|December")


@dataclass(frozen=True, slots=True)
class Maker:
    """Draws one cell. ``digits`` is the number of decimals (0 for text and whole numbers)."""

    kind: str
    draw: Callable[[Random], Value]
    digits: int = 0


def one_of(text: str, kind: str = "word") -> Maker:
    """One of the words that ``|`` separates."""
    pool = words(text)
    return Maker(kind, lambda rng: rng.choice(pool))


def joined(first: str, second: str, pattern: str = "{} {}", kind: str = "title") -> Maker:
    """A name of two parts, each one of the words that ``|`` separates."""
    left, right = words(first), words(second)
    return Maker(kind, lambda rng: pattern.format(rng.choice(left), rng.choice(right)))


def code(pattern: str) -> Maker:
    """A code: ``@`` becomes a capital letter, ``#`` a digit that is not 0."""
    signs = {"@": "ABCDEFGHJKLMNPRSTUVWX", "#": "123456789"}
    return Maker("code", lambda rng: "".join(rng.choice(signs.get(sign, sign)) for sign in pattern))


def date(style: str, first: int, last: int) -> Maker:
    """A date as text. ``style`` uses ``d``, ``m`` (the month's name) and ``y``, such as ``"d m y"``."""

    def draw(rng: Random) -> str:
        parts = {"d": rng.randint(1, 28), "m": rng.choice(MONTHS), "y": rng.randint(first, last)}
        return "".join(str(parts.get(sign, sign)) for sign in style)

    return Maker("date", draw)


def ints(low: int, high: int, step: int = 1) -> Maker:
    """A whole number on a grid of ``step``; wide ranges are drawn evenly over their logarithm."""
    if low > 0 and high / low > 100:

        def wide(rng: Random) -> int:
            return max(low, round(math.exp(rng.uniform(math.log(low), math.log(high))) / step) * step)

        return Maker("number", wide)
    return Maker("number", lambda rng: rng.randrange(low, high + 1, step))


def floats(low: float, high: float, digits: int = 1) -> Maker:
    """A number with ``digits`` decimals; a whole one is an int, so that it is written without ``.0``."""
    return Maker("number", lambda rng: whole(round(rng.uniform(low, high), digits)), digits)


def whole(number: float) -> int | float:
    """``4`` for ``4.0``."""
    return int(number) if float(number).is_integer() else number


PERSON = Maker("person", lambda rng: f"{rng.choice(FIRST)} {rng.choice(LAST)}")
CITY = Maker("city", lambda rng: rng.choice(CITIES))
COUNTRY = Maker("country", lambda rng: rng.choice(COUNTRIES))
