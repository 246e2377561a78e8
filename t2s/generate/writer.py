"""One answer on its way: what is written, what must be fed to the model next, and which guesses go along.

A writer never looks at another one, so that an answer does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from t2s.generate.constrained import Constraint, Mask
from t2s.generate.drafts import Drafts


@dataclass
class Plan:
    """A row's part of one pass: its tokens, and the offsets after which a decision is due, each with what is
    allowed."""

    block: list[int]
    asked: list[int] = field(default_factory=list)
    allowed: list[Mask | None] = field(default_factory=list)
    guessed: list[list[int]] = field(default_factory=list)
    """What was fed ahead: for each decision but the last the guessed token and what the grammar forces after it."""


@dataclass
class Writer:
    """``is_end(written)`` says whether the newest token ends the answer."""

    prompt: list[int]
    question: list[int]
    """The tokens of the prompt after the schema: where values are copied from."""
    limit: int
    is_end: Callable[[list[int]], bool]
    vocabulary: int
    constraint: Constraint | None = None
    written: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Decided, and not fed yet."""
    is_over: bool = False
    finished: bool = False
    """Whether it came to an end by itself, and not into the limit."""
    score: float = 0.0
    """Sum of the log-probabilities of its decisions among what was allowed, where they are asked for."""
    should_stop: Callable[[], bool] | None = None
    """Whether nobody wants the answer any more."""
    adapter: str | None = None
    """Who writes, among those that the model has (:mod:`t2s.generate.adapters`)."""

    def start(self, known: int) -> None:
        """Begin after the first ``known`` tokens of the prompt, with what the grammar forces at once."""
        self.pending = self.prompt[known:]
        if self.constraint is not None:
            self.pending += self._append(self.constraint.forced())

    def plan(self, width: int, room: int = 0, drafts: Drafts | None = None) -> Plan:
        """The first ``width`` tokens that are pending and, if these are all, up to ``room`` tokens with guesses."""
        plan = Plan(self.pending[:width])
        if len(self.pending) > width:
            return plan
        self._ask(plan)
        consumed = 0
        while drafts is not None and len(plan.block) < room:
            segment = self._guess(plan, drafts)
            if segment is None:
                break
            consumed += len(segment)
            if len(plan.block) + len(segment) > room or (self.constraint is not None and self.constraint.is_over):
                break
            plan.block += segment
            plan.guessed.append(segment)
            self._ask(plan)
        if self.constraint is not None:
            self.constraint.undo(consumed)
        return plan

    def accept(self, plan: Plan, decided: Sequence[int]) -> int:
        """Write the decisions, as far as each follows from the one before; return how many fed tokens are wrong."""
        del self.pending[: len(plan.block)]
        left = sum(map(len, plan.guessed))
        for number, token in enumerate(decided):
            new = self.write(token)
            if self.is_over:
                break
            if number == len(plan.guessed) or plan.guessed[number][0] != token:
                self.pending = new
                break
            left -= len(new)
        return left

    def write(self, token: int, forced: bool = True) -> list[int]:
        """Write ``token`` and what the grammar forces after it; return them, cut at the end or the limit."""
        taken = self.constraint is not None and self.constraint.take(token)
        return self._append([token, *(self.constraint.forced() if taken and forced and self.constraint else ())])

    def stop_if_asked(self) -> None:
        """End here, unfinished, if nobody wants the answer any more."""
        self.is_over = self.is_over or (self.should_stop is not None and self.should_stop())

    def fork(self) -> Writer:
        """A copy that goes its own way."""
        constraint = self.constraint.fork() if self.constraint is not None else None
        return replace(self, constraint=constraint, written=list(self.written), pending=list(self.pending))

    def _append(self, tokens: list[int]) -> list[int]:
        before = len(self.written)
        for token in tokens[: self.limit - before]:
            self.written.append(token)
            if self.is_end(self.written):
                self.finished = True
                break
        whole = len(self.written) - before == len(tokens)
        self.finished |= self.constraint is not None and self.constraint.is_over and whole
        self.is_over = self.finished or len(self.written) >= self.limit
        return self.written[before:]

    def _ask(self, plan: Plan) -> None:
        plan.asked.append(len(plan.block) - 1)
        plan.allowed.append(self.constraint.allowed(self.vocabulary) if self.constraint is not None else None)

    def _guess(self, plan: Plan, drafts: Drafts) -> list[int] | None:
        """A likely next token and what the grammar forces after it, both consumed by the constraint."""
        ahead = [token for segment in plan.guessed for token in segment]
        token = drafts.guess([*self.written, *ahead], self.question, self.adapter)
        if token is None or (self.constraint is not None and not self.constraint.take(token)):
            return None
        return [token, *(self.constraint.forced() if self.constraint is not None else ())]
