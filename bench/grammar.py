"""llguidance beside xgrammar: the same language, the same tokenizer, the same answers, in turn.

    pip install --no-deps --target DIR xgrammar apache-tvm-ffi
    PYTHONPATH=DIR python -m bench.grammar [--questions 200] [-c FILE] [key.path=value ...]

Each walks the gold queries of the test split token by token, as decoding does: what is forced is consumed, else the
mask of what may come is made and the gold's next token must be in it. Free values; xgrammar has no terminal that
ignores case, which ``values: span`` needs. Printed: what a tokenizer, a schema and a question cost, and how much is
forced. xgrammar is no dependency of t2s, whose wheel wants triton: the command above leaves that out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from t2s.config import load
from t2s.data.core import Example
from t2s.data.pipelines import build_pipeline
from t2s.data.sampling import sample
from t2s.generate.constrained import Constraint
from t2s.model.base import find_base
from t2s.model.load import load_tokenizer
from t2s.sql.grammar import grammar_of
from t2s.sql.render import render

_TERMINALS = r"""
STRING ::= "'" ( [^'] | "''" )* "'"
NUMBER ::= "-"? ( "0" | [1-9] [0-9]* ) ( "." [0-9]+ )? EXPONENT?
EXPONENT ::= "e" ( "-" [0-9] [0-9]? [0-9]? | "+" [012]? [0-9] [0-9] | "+30" [0-8] )
"""


@dataclass
class Cost:
    """CPU seconds of one library, by what they were for; and what it forced."""

    schema: list[float] = field(default_factory=list)
    mask: list[float] = field(default_factory=list)
    question: list[float] = field(default_factory=list)
    forced_chars: int = 0
    decided: int = 0


def main() -> None:
    """Measure and print."""
    given = _arguments()
    config = load([given.config] if given.config else [], given.overrides)
    # A token may hold a part of a character that is not ASCII, and then is no text.
    golds = [each for each in build_pipeline(config.data).prepare()[2] if _gold(each).isascii()]
    test = sample(golds, given.questions, config.seed)
    tokenizer = load_tokenizer(find_base(config.model))
    began = time.process_time()
    ours = _LLGuidance(tokenizer)
    ready = time.process_time()
    theirs = _XGrammar(tokenizer)
    print(f"tokenizer: llguidance {ready - began:.2f} CPU s, xgrammar {time.process_time() - ready:.2f} CPU s")
    costs = {"llguidance": Cost(), "xgrammar": Cost()}
    for example in test:  # in turn, question by question
        for name, walk in {"llguidance": ours.walk, "xgrammar": theirs.walk}.items():
            _timed(costs[name], walk, example)
    for name, cost in costs.items():
        _print(name, cost, len(test))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("-c", "--config", type=Path)
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


def _timed(cost: Cost, walk: Callable[[Example, Cost], None], example: Example) -> None:
    began = time.process_time()
    walk(example, cost)
    cost.question.append(time.process_time() - began)


def _gold(example: Example) -> str:
    """As a model that was trained here writes it."""
    assert example.logical_form is not None
    return " " + render(example.logical_form, example.schema.table)


def _print(name: str, cost: Cost, questions: int) -> None:
    masks, schemas = ([seconds * 1e3 for seconds in each] for each in (cost.mask, cost.schema))
    cuts = statistics.quantiles(masks, n=20)
    print(
        f"{name}: a schema {statistics.median(schemas):.2f} ms; a mask p50 {statistics.median(masks):.3f}, "
        f"p95 {cuts[18]:.3f}, most {max(masks):.2f} ms; a question {statistics.mean(cost.question) * 1e3:.1f} ms; "
        f"{cost.decided / questions:.1f} decisions and {cost.forced_chars / questions:.1f} forced characters a question"
    )


class _LLGuidance:
    """As :mod:`t2s.generate` uses it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        Constraint(tokenizer, 'start: "a"', tokenizer.eos_token_id)

    def walk(self, example: Example, cost: Cost) -> None:
        began = time.process_time()
        eos = self.tokenizer.eos_token_id
        constraint = Constraint(self.tokenizer, grammar_of(example.schema, "wikisql", None), eos)
        cost.schema.append(time.process_time() - began)
        left = _gold(example)
        while not constraint.is_over:
            forced = self.tokenizer.decode(constraint.forced())
            left = _without(left, forced)
            cost.forced_chars += len(forced)
            if constraint.is_over:
                break
            token = self.tokenizer(left)["input_ids"][0] if left else eos
            began = time.process_time()
            allowed = constraint.allowed(len(self.tokenizer))
            cost.mask.append(time.process_time() - began)
            cost.decided += 1
            assert allowed[token], f"llguidance forbids {left!r}"
            if token == eos:
                break
            assert constraint.take(token)
            left = _without(left, self.tokenizer.decode([token]))
        assert not left


class _XGrammar:
    """With its compiler's cache off, as each schema is new once."""

    def __init__(self, tokenizer: Any) -> None:
        import torch
        import xgrammar

        torch.set_num_threads(1)
        self.matcher_of: Any = xgrammar.GrammarMatcher
        self.tokenizer = tokenizer
        about = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))
        self.compiler = xgrammar.GrammarCompiler(about, max_threads=1, cache_enabled=False)
        self.mask = xgrammar.allocate_token_bitmask(1, len(tokenizer))

    def walk(self, example: Example, cost: Cost) -> None:
        began = time.process_time()
        matcher = self.matcher_of(self.compiler.compile_grammar(ebnf(example)))
        cost.schema.append(time.process_time() - began)
        left = _gold(example)
        while not matcher.is_terminated():
            forced = matcher.find_jump_forward_string()
            if forced:
                assert matcher.accept_string(forced)
                left = _without(left, forced)
                cost.forced_chars += len(forced)
            token = self.tokenizer(left)["input_ids"][0] if left else self.tokenizer.eos_token_id
            began = time.process_time()
            matcher.fill_next_token_bitmask(self.mask)
            allowed = self._allowed()
            cost.mask.append(time.process_time() - began)
            cost.decided += 1
            assert allowed[token], f"xgrammar forbids {left!r}"
            assert matcher.accept_token(token)
            left = _without(left, self.tokenizer.decode([token])) if left else left
        assert not left

    def _allowed(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        packed = self.mask.numpy().view(np.uint8)[0]
        return np.unpackbits(packed, count=len(self.tokenizer), bitorder="little").view(np.bool_)


def ebnf(example: Example) -> str:
    """The grammar of :mod:`t2s.sql.grammar.wikisql` in xgrammar's words."""
    rules = [line.split(": ", 1) for line in grammar_of(example.schema, "wikisql", None).splitlines()]
    kept: Sequence[list[str]] = [rule for rule in rules if rule[0] not in ("STRING", "NUMBER")]
    return "\n".join(f"{'root' if name == 'start' else name} ::= {body}" for name, body in kept) + _TERMINALS


def _without(text: str, start: str) -> str:
    assert text.startswith(start), (text, start)
    return text[len(start) :]


if __name__ == "__main__":
    main()
