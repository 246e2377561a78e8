"""``t2s data show``: examples as the model sees them, with the loss mask visible, token by token.

Prompt and mask come from the functions that training uses (:func:`t2s.train.texts.to_prompt`,
:func:`t2s.train.encode.encode`). Everything is shown as data: no markup, control characters as escapes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

import typer
from rich.text import Text

from t2s.cli.console import out, say
from t2s.config import Config
from t2s.data.core import Example
from t2s.errors import ConfigError, SetupError
from t2s.prompt import Prompt, build_completion, regime


@dataclass(frozen=True)
class Shown:
    """One example: its prompt, what is learned, and both as tokens if there is a tokenizer."""

    id: str
    prompt: Prompt
    completion: str
    tokens: list[tuple[str, bool]] | None
    """(text, is a label) of each token; the last one is the end-of-sequence token, by its name."""

    @property
    def num_labels(self) -> int:
        """Tokens that the loss is taken over."""
        return sum(is_label for _, is_label in self.tokens or ())

    def to_dict(self, wording: str) -> dict[str, Any]:
        """One line of ``--json``."""
        fitted = self.prompt.fitted
        return {
            "id": self.id,
            "prompt_regime": wording,
            "prompt": self.prompt.text,
            "completion": self.completion,
            "columns_cut": fitted.num_columns_cut,
            "values_dropped": fitted.dropped_values,
            "tokens": None if self.tokens is None else [{"text": text, "label": label} for text, label in self.tokens],
        }


def show_verb(config: Config, split: str, number: int, tokenizer: bool | None, as_json: bool) -> int:
    """Print the first ``number`` examples of ``split``; return how many there are in all."""
    from t2s.data.pipelines import build_pipeline

    examples = build_pipeline(config.data).prepare()[("train", "val", "test").index(split)]
    loaded = _tokenizer(config, tokenizer)
    wording = regime(config.prompt)
    for example in islice(examples, number):
        shown = look(example, config, loaded)
        if as_json:
            typer.echo(json.dumps(shown.to_dict(wording), ensure_ascii=True))
        else:
            _print(shown, wording, config.training.max_length)
    return len(examples)


def look(example: Example, config: Config, tokenizer: Any) -> Shown:
    """What training would make of ``example``; ``tokenizer`` may be None."""
    from t2s.train.texts import to_prompt

    prompt, completion = to_prompt(example, config.prompt), build_completion(example.sql)
    tokens = None if tokenizer is None else _tokens(prompt.text, completion, tokenizer)
    return Shown(example.id, prompt, completion, tokens)


def _tokens(prompt: str, completion: str, tokenizer: Any) -> list[tuple[str, bool]]:
    from t2s.train.encode import IGNORED, encode

    encoded = encode([(prompt, completion)], [0], tokenizer)[0]
    texts = tokenizer.batch_decode([[token] for token in encoded.input_ids])
    return [(text, label != IGNORED) for text, label in zip(texts, encoded.labels, strict=True)]


def _tokenizer(config: Config, wanted: bool | None) -> Any:
    """The base's tokenizer; None if it is not wanted, or only wanted if at hand and the base is not."""
    if wanted is False:
        return None
    from t2s.model.base import find_base

    try:
        files = find_base(config.model, download=bool(wanted))
    except (ConfigError, SetupError) as error:
        if wanted:
            raise
        say(f"no token counts: {error}")
        return None
    say(f"tokens as {config.model.name} reads them")
    from t2s.model.load import load_tokenizer

    return load_tokenizer(files)


def _print(shown: Shown, wording: str, max_length: int) -> None:
    out.print(Text(f"# {visible(shown.id)}  {_summary(shown, wording, max_length)}", style="dim"))
    out.print(Text(visible(shown.prompt.text), style="dim"), end="")
    out.print(Text(visible(shown.completion), style="bold green"))
    if shown.tokens is not None:
        labels = "¦".join(visible(text) for text, is_label in shown.tokens if is_label)
        out.print(Text.assemble(("learned: ", "dim"), (labels, "green")))
    out.print()


def _summary(shown: Shown, wording: str, max_length: int) -> str:
    fitted, parts = shown.prompt.fitted, [f"prompt {wording}"]
    if fitted.num_columns_cut:
        parts.append(f"{fitted.num_columns_cut} columns cut")
    if fitted.dropped_values:
        parts.append("values dropped")
    if shown.tokens is not None:
        total = len(shown.tokens)
        parts.append(f"{total - shown.num_labels} tokens of prompt + {shown.num_labels} learned")
        if total > max_length:
            parts.append(f"over training.max_length={max_length}: left out of training")
    return ", ".join(parts)


def visible(text: str) -> str:
    """``text`` with control characters, which a terminal would obey, written as escapes; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
