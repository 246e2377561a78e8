"""t2s fine-tunes a causal language model to turn questions into SQL over your own tables.

The rooms and the arrows between them are drawn in ``docs/architecture.md``. Importing this package
loads neither torch nor Ray: ``t2s --help`` and a wrong configuration answer at once.
"""

__version__ = "0.1.0"
