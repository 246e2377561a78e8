"""A generated data set in WikiSQL's shape: many domains, held-out tables and held-out column names.

Validation and test use domains of their own: none of their table names and none of their column names occurs
in training. Columns, their order, their number and the style of the headers differ from table to table, and
questions name columns by other words than the headers', so a model that ignores the schema fails.

The difficulty mix, kept exactly by dealing from a deck: 25% of the questions have no condition, 50% one, 20% two,
5% three; about 35% aggregate (60% of those without a condition, 32%, 20% and 10% of the others). Of the conditions
with a number about a third ask for equality, the rest for more or less. Memorising does not help: the nearest
training question, with the right values put in, gives the right query for few test questions (a test holds this
under a ceiling), while a parser that is told each column's words gives most.

Not covered: joins, grouping, nested queries; questions by real people.
"""

from t2s.data.synthetic.pipeline import SyntheticPipeline

__all__ = ["SyntheticPipeline"]
