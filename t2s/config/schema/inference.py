"""The section of generation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from t2s.config.schema.section import Count, Section


class InferenceConfig(Section):
    """How SQL is generated, in evaluation, on the command line and behind the endpoint."""

    batch_size: Count = 16
    """Questions generated together, sorted by length."""
    max_new_tokens: int = Field(default=96, ge=1, le=4096)
    """Longest answer in tokens."""
    grammar: Literal["none", "wikisql", "select"] = "none"
    """``wikisql`` allows only tokens that continue a WikiSQL query over the question's own table, ``select`` those of a
    read-only SELECT over all tables of the schema (joins, grouping, ordering, subqueries)."""
    values: Literal["free", "span"] = "free"
    """With a grammar: values are any text, or only spans of the question (as all of WikiSQL's are, up to the case of
    letters) and its numbers."""
    execution_guided: Count = 1
    """Candidates for each question; above 1 they run in the sandbox, those that fail are dropped, and the result that
    most agree on is the answer (Wang et al. 2018, arXiv:1807.03100). A regime of its own in every score."""
    candidates: Literal["beam", "sample"] = "beam"
    """How candidates are drawn."""
    drop_empty: bool = False
    """Whether a candidate with an empty result is dropped too."""
    weights: Literal["full", "half"] = "full"
    """For a CPU: ``half`` holds the linear layers packed in 16 bits and multiplies in fp32, which is faster and changes
    hardly an answer."""
