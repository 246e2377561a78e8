"""The one place where a question and a schema become text.

Training, evaluation, the command line and the endpoint all call :func:`compose` (or :func:`build_prompt`, its text), so
what is served is what was evaluated. By default a prompt holds the schema and the question and no table content
(WikiSQL's rule); every other wording is another *regime*, whose name stands in each result and each adapter.

Values come with the schema (:attr:`t2s.sql.core.Column.samples`); this package reads no database.
Not covered: text that a tokenizer takes for one of its special tokens; :mod:`t2s.train.preflight` looks for those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from t2s.config import PromptConfig
from t2s.prompt.fit import Fitted, fit
from t2s.prompt.styles import STYLES
from t2s.sql.core import Schema
from t2s.sql.schema import with_distinct_names

__all__ = ["Prompt", "build_completion", "build_prompt", "compose", "describe", "regime"]

_VERSIONS = {"compact": 1, "ddl": 1}
"""Another wording of a style is another number."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and what of the schema is in it. ``fitted.schema`` has the columns' SQL names."""

    text: str
    fitted: Fitted


def regime(config: PromptConfig) -> str:
    """The name of a wording: ``schema-only/1``, ``compact+3values/1``, ``ddl/1``, ``ddl+3values+4000chars/1``."""
    plain = "schema-only" if config.style == "compact" and not config.sample_values else config.style
    values = f"+{config.sample_values}values" if config.sample_values else ""
    default = type(config).model_fields["max_schema_chars"].default
    limit = f"+{config.max_schema_chars}chars" if config.max_schema_chars != default else ""
    return f"{plain}{values}{limit}/{_VERSIONS[config.style]}"


def describe(config: PromptConfig) -> str:
    """The settings that make a regime, to be typed: ``prompt.style=ddl prompt.sample_values=3 ...``."""
    return " ".join(f"prompt.{key}={value}" for key, value in config.model_dump().items())


def compose(question: str, schema: Schema, config: PromptConfig) -> Prompt:
    """The prompt of ``question``: schema, question, and the cue ``SQL:`` without a trailing space.

    Columns that carry more samples than ``config.sample_values`` show the first of them.
    """
    named = replace(schema, tables=tuple(with_distinct_names(table) for table in schema.tables))
    fitted = fit(question, named, config)
    text = STYLES[config.style](fitted.schema, fitted.num_values)
    return Prompt(f"{text}\nQUESTION: {' '.join(question.split())}\nSQL:", fitted)


def build_prompt(question: str, schema: Schema, config: PromptConfig) -> str:
    """The text that the model continues."""
    return compose(question, schema, config).text


def build_completion(sql: str) -> str:
    """What follows the prompt. The leading space belongs to the first token in most vocabularies."""
    return f" {sql}"
