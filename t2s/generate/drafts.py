"""Guesses of the next tokens, which the model checks several at a time: they change the time, never the answer.

Two sources: what followed the same tokens in the same adapter's earlier answers, where nearly always the same did, and
the question, which values are copied from. (Prompt lookup alone gains nothing on WikiSQL: the structure around the
values is what repeats.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_ORDER = 3
"""Longest context in tokens."""
_SEEN = 2
"""How often a context must have been seen, and..."""
_SURE = 0.7
"""...the share in which the same token followed, for a guess."""
_MAX_CONTEXTS = 200_000


class Drafts:
    """Learns from each answer that is shown to it."""

    def __init__(self) -> None:
        self._followed: dict[tuple[str | None, tuple[int, ...]], Counter[int]] = {}

    def learn(self, written: Sequence[int], adapter: str | None = None) -> None:
        """Remember what followed what in one answer."""
        if len(self._followed) > _MAX_CONTEXTS:
            self._followed.clear()
        for position in range(1, len(written)):
            for order in range(1, _ORDER + 1):
                if order > position:
                    break
                context = (adapter, tuple(written[position - order : position]))
                self._followed.setdefault(context, Counter())[written[position]] += 1

    def forget(self, adapter: str) -> None:
        """Drop what an adapter wrote."""
        self._followed = {context: seen for context, seen in self._followed.items() if context[0] != adapter}

    def guess(self, written: Sequence[int], question: Sequence[int], adapter: str | None = None) -> int | None:
        """The token that most likely follows ``written``, or None if none is likely."""
        for order in range(min(_ORDER, len(written)), 0, -1):
            seen = self._followed.get((adapter, tuple(written[-order:])))
            if seen is None or seen.total() < _SEEN:
                continue
            token, times = seen.most_common(1)[0]
            if times >= _SURE * seen.total():
                return token
            break
        return _copied(written, question)


def _copied(written: Sequence[int], question: Sequence[int]) -> int | None:
    """What follows in the question after the last token written, if that token stands there once."""
    if not written or question.count(written[-1]) != 1:
        return None
    after = question.index(written[-1]) + 1
    return question[after] if after < len(question) else None
