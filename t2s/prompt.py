"""The one place where a question and a schema become text.

Training, evaluation, the command line and the endpoint all call :func:`build_prompt`, so what is served is
what was evaluated. The prompt holds the schema and the question, and no table content (WikiSQL's rule).
"""

from __future__ import annotations

from dataclasses import replace

from t2s.sql.core import Schema
from t2s.sql.schema import render_schema, with_distinct_names

PROMPT_REGIME = "schema-only/1"
"""Names the wording below. An adapter records it; another wording is another number."""


def build_prompt(question: str, schema: Schema) -> str:
    """The text that the model continues: schema, question, and the cue ``SQL:`` without a trailing space."""
    named = replace(schema, tables=tuple(with_distinct_names(table) for table in schema.tables))
    return f"{render_schema(named)}\nQUESTION: {' '.join(question.split())}\nSQL:"


def build_completion(sql: str) -> str:
    """What follows the prompt. The leading space belongs to the first token in most vocabularies."""
    return f" {sql}"
