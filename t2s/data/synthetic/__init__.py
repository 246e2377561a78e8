"""A generated data set in WikiSQL's shape: many domains, held-out tables and held-out column names.

Validation and test use domains of their own: none of their table names and none of their column names occurs
in training. Columns, their order, their number and the style of the headers differ from table to table, and
questions name columns by other words than the headers', so a model that ignores the schema fails.

Not covered: joins, grouping, nested queries; questions by real people.
"""

from t2s.data.synthetic.pipeline import SyntheticPipeline

__all__ = ["SyntheticPipeline"]
