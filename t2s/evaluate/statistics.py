"""How sure a score is, and whether two scores differ. Light to import: any room may."""

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


RESAMPLES = 10_000
"""How often :func:`paired_bootstrap` draws the questions anew."""


def paired_bootstrap(
    only_first: int,
    only_second: int,
    n: int,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval (Efron 1979) of the first system's accuracy minus the second's, on ``n`` shared questions.

    The questions are drawn with replacement, each with both of its marks. A draw's difference depends only on how
    many of its questions one system alone got right, and these counts are multinomial: drawing them is drawing the
    questions. Swapping the systems negates the interval exactly; the order of the questions plays no part.

    Raise ``ValueError`` for impossible counts or settings.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > n or n < 1:
        raise ValueError(f"need 0 <= counts, their sum <= n, and n >= 1, not {only_first}, {only_second}, {n}")
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"need 0 < confidence < 1 and resamples >= 1, not {confidence}, {resamples}")
    if only_first < only_second:
        low, high = paired_bootstrap(only_second, only_first, n, confidence=confidence, resamples=resamples, seed=seed)
        return -high, -low
    import numpy as np

    shares = [only_first / n, only_second / n, (n - only_first - only_second) / n]
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    differences = np.sort(drawn[:, 0] - drawn[:, 1])
    tail = int(resamples * (1 - confidence) / 2)
    low, high = float(differences[tail]) / n, float(differences[resamples - 1 - tail]) / n
    if only_first == only_second:
        # Equal systems have a symmetric distribution; its interval must not lean by chance.
        half = (high - low) / 2
        return -half, half
    return low, high
