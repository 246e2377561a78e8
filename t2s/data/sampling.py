"""Draw examples with a seed, the same ones in every room that asks for the same number."""

from __future__ import annotations

import random
from collections.abc import Sequence

from t2s.data.core import Example


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """``count`` examples drawn without replacement (all of them, in order, if None or too few)."""
    if count is None or count >= len(examples):
        return list(examples)
    return random.Random(seed).sample(list(examples), count)
