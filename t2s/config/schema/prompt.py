"""The section of the prompt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from t2s.config.schema.section import Section


class PromptConfig(Section):
    """How a question and a schema become text; training, evaluation and the endpoint use the same setting.

    An adapter records it, and is refused under another one. Each setting has a name that stands in every result, for
    example ``schema-only/1`` or ``ddl+3values/1``.
    """

    style: Literal["compact", "ddl"] = "compact"
    """``compact`` is one line a table, ``ddl`` is CREATE TABLE statements with types and foreign keys."""
    sample_values: int = Field(default=0, ge=0, le=20)
    """Values shown of each column: the first distinct ones of the table's first 200 rows. 0 is WikiSQL's rule."""
    max_schema_chars: int = Field(default=12_000, ge=200, le=1_000_000)
    """A schema whose text is longer loses its sample values, then the columns that share fewest words with the
    question; of equals, columns of foreign keys and earlier columns stay. What was cut is counted in the log."""
