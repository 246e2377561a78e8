"""How sure a score is, and whether two scores differ. Standard library only: any room may import it."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927) of the proportion ``successes / n``; (0, 1) if ``n`` is 0.

    Raise ``ValueError`` unless 0 <= successes <= n and 0 < confidence < 1.
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"need 0 <= successes <= n and 0 < confidence < 1, not {successes}, {n}, {confidence}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    # Rounding must not push the ends past what is certain: none of n, or all of n.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p of McNemar's test (1947) from the pairs on which exactly one of two systems is right.

    It is the binomial test of ``only_first`` out of both at one half; 1.0 if they never differ.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts cannot be negative: {only_first}, {only_second}")
    n = only_first + only_second
    # Integers until the last division: 2**n overflows a float beyond 1,023 pairs.
    tail = ways = 1
    for k in range(min(only_first, only_second)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**n)
