"""Examples as prompt and completion texts: drawn with the seed, and none longer than the model may see.

What is checked here is checked before any step. An example that would be cut would lose its end, and the model would
never learn to stop (a promise of this project); an example whose query names a column that the prompt does not show
would teach the model to invent names. Both are left out and counted instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from t2s.config import Config, PromptConfig
from t2s.data.core import Example
from t2s.data.samples import has_samples, with_samples
from t2s.data.sampling import sample
from t2s.errors import DataError, SQLError
from t2s.prompt import Prompt, build_completion, compose
from t2s.sql.core import Schema
from t2s.sql.schema import sql_names
from t2s.sql.syntax import read_query
from t2s.train.encode import Encoded, Text, encode


@dataclass(frozen=True)
class TrainingTexts:
    """What a training sees, and what it does not see: counts over training and validation examples."""

    train: list[Encoded]
    val: list[Encoded]
    num_too_long: int
    """Left out: over ``training.max_length`` tokens."""
    num_cut: int = 0
    """Schemas that did not fit ``prompt.max_schema_chars``, and are shown in part."""
    num_gold_cut: int = 0
    """Left out: the query names a column that was cut from its prompt."""
    num_without_values: int = 0
    """Prompts without sample values although ``prompt.sample_values`` asks for some: there are no rows."""
    questions: Sequence[Example] = ()
    """Of the validation split, asked at each validation for execution accuracy."""


@dataclass(frozen=True)
class _Drawn:
    """One example with its prompt."""

    text: Text
    table: int
    is_cut: bool
    names_cut: bool
    has_values: bool


def build_texts(config: Config, train: Sequence[Example], val: Sequence[Example], tokenizer: Any) -> TrainingTexts:
    """Draw ``max_train_samples`` and ``max_val_samples`` examples with ``seed`` and render them.

    Raises:
        DataError: nothing is left to train on or to validate with.
    """
    limit, kept = config.training.max_length, {}
    sizes = {"train": config.training.max_train_samples, "validation": config.training.max_val_samples}
    tables: dict[int, int] = {}  # schemas are shared objects: one number for each
    drawn = {
        name: [
            _draw(example, config.prompt, tables.setdefault(id(example.schema), len(tables)))
            for example in sample(examples, sizes[name], config.seed)
        ]
        for name, examples in (("train", train), ("validation", val))
    }
    num_too_long = 0
    for name, items in drawn.items():
        shown = [item for item in items if not item.names_cut]
        encoded = encode([item.text for item in shown], [item.table for item in shown], tokenizer)
        kept[name] = [example for example in encoded if len(example) <= limit]
        num_too_long += len(shown) - len(kept[name])
        if not kept[name]:
            raise DataError(f"data: no {name} examples: {_why_none(items, config)}")
    every = [item for items in drawn.values() for item in items]
    return TrainingTexts(
        kept["train"],
        kept["validation"],
        num_too_long,
        num_cut=sum(item.is_cut for item in every),
        num_gold_cut=sum(item.names_cut for item in every),
        num_without_values=sum(not item.has_values for item in every) if config.prompt.sample_values else 0,
    )


def to_prompt(example: Example, config: PromptConfig) -> Prompt:
    """The prompt of one example, as evaluation asks it too."""
    return compose(example.question, with_samples(example.schema, example.source, config.sample_values), config)


def to_text(example: Example, config: PromptConfig) -> Text:
    """Prompt and completion of one example."""
    return to_prompt(example, config).text, build_completion(example.sql)


def names_missing(example: Example, shown: Schema) -> bool:
    """Whether the gold query names a table or column that ``shown``, a part of its schema, does not have."""
    form = example.logical_form
    if form is not None:
        names = sql_names(example.schema.table)
        columns = set(sql_names(shown.table))
        return not {names[at] for at in (form.sel, *(condition.column for condition in form.conds))} <= columns
    whole = _columns_by_table(example.schema)
    try:
        tree = read_query(example.sql, [name for names in whole.values() for name in names])
    except SQLError:
        return False  # not for this rule to judge: t2s data check names such a query
    left = _columns_by_table(shown)
    tables = {
        t.alias_or_name.casefold(): t.name.casefold() for t in tree.find_all(exp.Table) if t.name.casefold() in whole
    }
    cut = {name: whole[name] - left.get(name, set()) for name in tables.values()}
    return any(name not in left for name in cut) or any(
        column.name.casefold() in cut[table]
        for column in tree.find_all(exp.Column)
        for table in ([tables[column.table.casefold()]] if column.table.casefold() in tables else cut)
    )


def _draw(example: Example, config: PromptConfig, table: int) -> _Drawn:
    prompt = to_prompt(example, config)
    fitted = prompt.fitted
    return _Drawn(
        (prompt.text, build_completion(example.sql)),
        table,
        is_cut=fitted.dropped_values or fitted.num_columns_cut > 0,
        names_cut=fitted.num_columns_cut > 0 and names_missing(example, fitted.schema),
        has_values=has_samples(fitted.schema),
    )


def _columns_by_table(schema: Schema) -> dict[str, set[str]]:
    return {table.name.casefold(): {name.casefold() for name in sql_names(table)} for table in schema.tables}


def _why_none(items: list[_Drawn], config: Config) -> str:
    limit = config.training.max_length
    if not items:
        return f"the split is empty (training.max_length={limit})"
    if all(item.names_cut for item in items):
        return f"all {len(items)} queries name a column that prompt.max_schema_chars cuts from the prompt; raise it"
    return f"all {len(items)} examples are over {limit} tokens (training.max_length={limit})"
