"""The synthetic test split measures something: who only remembers fails on it, who uses the schema does not.

Both models are told the shape of the answer generously: the memoriser gets the gold's values, the reader of the
schema the gold's aggregation, operators and values. What is left to find are the columns.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

import pytest

from t2s.data.core import Example, Splits
from t2s.data.synthetic import SyntheticPipeline
from t2s.data.synthetic.domains import DOMAINS
from t2s.data.synthetic.phrasing import modifier, plural
from t2s.data.synthetic.spec import ColumnSpec
from t2s.sql.core import Condition, LogicalForm

HELD_OUT = (*DOMAINS["dev"], *DOMAINS["test"])


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return SyntheticPipeline(num_train=1500, num_val=6, num_test=200, cache_dir=tmp_path_factory.mktemp("c")).prepare()


def form_of(example: Example) -> LogicalForm:
    assert example.logical_form is not None
    return example.logical_form


def content_words(example: Example) -> frozenset[str]:
    """The question's words without the values of its query."""
    text = example.question
    for value in sorted((str(cond.value) for cond in form_of(example).conds), key=len, reverse=True):
        text = text.replace(value, " ")
    return frozenset(re.findall(r"[a-z]+", text.lower()))


class Memoriser:
    """The training question that is nearest in rare words (weighted Jaccard), and its query."""

    def __init__(self, train: Sequence[Example]) -> None:
        self.train = train
        self.words = [content_words(example) for example in train]
        self.places: dict[str, list[int]] = defaultdict(list)
        for at, words in enumerate(self.words):
            for word in words:
                self.places[word].append(at)
        self.weight = {word: math.log(len(train) / len(places)) for word, places in self.places.items()}

    def nearest(self, example: Example) -> Example:
        words, common = content_words(example), Counter[int]()
        for word in words:
            for at in self.places.get(word, ()):
                common[at] += self.weight[word]  # type: ignore[assignment]
        own = sum(self.weight.get(word, math.log(len(self.train))) for word in words)

        def likeness(at: int) -> float:
            return common[at] / (own + sum(self.weight[word] for word in self.words[at]) - common[at])

        return self.train[max(common, key=likeness)]


def same_query(example: Example, neighbour: Example, by_name: bool) -> bool:
    """Whether the neighbour's query, over this table and with the right values, is the gold."""
    gold, other = form_of(example), form_of(neighbour)
    names = [column.name.casefold() for column in example.schema.table.columns]
    others = [column.name.casefold() for column in neighbour.schema.table.columns]

    def moved(index: int) -> int | None:
        if not by_name:
            return index
        return names.index(others[index]) if others[index] in names else None

    shape = (other.agg, [cond.op for cond in other.conds]) == (gold.agg, [cond.op for cond in gold.conds])
    columns = [moved(index) for index in (other.sel, *(cond.column for cond in other.conds))]
    return shape and columns == [gold.sel, *(cond.column for cond in gold.conds)]


def specs_of(example: Example) -> list[ColumnSpec]:
    """What people call each column of a held-out table."""

    def bare(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    known: dict[str, ColumnSpec] = {}
    for domain in HELD_OUT:
        if bare(example.schema.table.name) in {bare(name) for name in domain.tables}:
            for spec in domain.columns:
                known |= {bare(f"{header}{unit}"): spec for header in spec.headers for unit in ("", spec.unit)}
    return [known[bare(column.name)] for column in example.schema.table.columns]


KEYS = {domain.columns[0] for domain in HELD_OUT}
"""The columns that name a row: meant where a question gives a value and no words, or asks for the rows."""


def read_condition(question: str, cond: Condition, specs: list[ColumnSpec], key: int) -> tuple[int, str]:
    """The column whose words stand around the value, and those words."""
    best = (key, str(cond.value), 0)
    for at, spec in enumerate(specs):
        if (spec.type == "real") == isinstance(cond.value, str):
            continue
        rng = Random(0)
        phrases = {modifier(rng, spec, cond.op, cond.value) for _ in range(60)}
        phrases |= {f"when the {name.lstrip('~')} is {cond.value}" for name in spec.says}
        phrases |= {f"goes with the {name.lstrip('~')} {cond.value}" for name in spec.says}
        for phrase in phrases:
            words = phrase.partition(" ")[2] if phrase.startswith("with ") else phrase
            if words in question and len(words) > best[2]:
                best = (at, words, len(words))
    return best[0], best[1]


def read_schema(example: Example) -> tuple[int, ...]:
    """The selected column and those of the conditions, by the columns' words alone."""
    specs, question, gold = specs_of(example), example.question, form_of(example)
    key = next(at for at, spec in enumerate(specs) if spec in KEYS)
    found = [read_condition(question, cond, specs, key) for cond in gold.conds]
    for _, words in found:
        question = question.replace(words, " ")
    scores = []
    for spec in specs:
        names = [name.lstrip("~") for name in spec.says]
        said = [*names, *map(plural, names), spec.count, spec.how]
        said += [piece.strip(" ?") for ask in spec.ask for piece in ask.split("{}")]
        said += [adjective for adjective in (*spec.most, *spec.least) if len(adjective) > 9]
        said = said if spec not in KEYS or gold.agg or gold.conds else []
        scores.append(max((len(word) for word in said if word and word in question), default=0))
    sel = scores.index(max(scores)) if max(scores) else key
    return sel, *(at for at, _ in found)


def test_who_remembers_training_queries_fails_on_held_out_tables(splits: Splits) -> None:
    memoriser = Memoriser(splits[0])
    pairs = [(example, memoriser.nearest(example)) for example in splits[2]]
    by_position = sum(same_query(*pair, by_name=False) for pair in pairs) / len(pairs)
    by_name = sum(same_query(*pair, by_name=True) for pair in pairs) / len(pairs)
    assert by_position < 0.10  # measured 0.030
    assert by_name < 0.02  # measured 0.000: no name of a test column occurs in training
    seen = [(example, memoriser.nearest(example)) for example in splits[0][:100]]
    assert sum(same_query(*pair, by_name=True) for pair in seen) / len(seen) > 0.95


def test_who_knows_what_the_columns_are_called_finds_most(splits: Splits) -> None:
    right = 0
    for example in splits[2]:
        gold = form_of(example)
        right += read_schema(example) == (gold.sel, *(cond.column for cond in gold.conds))
    assert right / len(splits[2]) > 0.8  # measured 0.895
