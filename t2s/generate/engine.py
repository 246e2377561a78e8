"""Greedy generation in batches sorted by length, with Hugging Face ``generate``.

The answer to a question does not depend on its neighbours in the batch: prompts are padded on the left and masked.
Generation of a row ends at the end-of-sequence token, at ``;`` or at a blank line, whichever comes first: a base
model that was never tuned does not stop by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from t2s.config import InferenceConfig, PromptConfig
from t2s.generate.core import Generation, Request
from t2s.prompt import build_prompt
from t2s.sql.extract import extract_sql

_STOPS = (";", "\n")
_CLOSING = ("", "'", '"', "`", "]")
"""What may close an open quote, after nothing."""


class Generator:
    """A loaded model that answers :class:`Request` batches. Not thread-safe: one caller at a time."""

    def __init__(self, model: Any, tokenizer: Any, config: InferenceConfig, prompt: PromptConfig) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.prompt = prompt
        self._stop_ids = _token_ids_with(tokenizer, _STOPS)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer every request, in the order given."""
        answers = dict(pair for batch in self.stream(requests) for pair in batch)
        return [answers[position] for position in range(len(requests))]

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Generation]]]:
        """Yield ``(position in requests, answer)`` pairs, a batch at a time, the shortest prompts first."""
        if not requests:
            return
        encoded = self.tokenizer(self.prompts(requests))["input_ids"]
        by_length = sorted(range(len(requests)), key=lambda position: len(encoded[position]))
        for start in range(0, len(by_length), self.config.batch_size):
            batch = by_length[start : start + self.config.batch_size]
            answers = self._run([encoded[i] for i in batch], [requests[i].schema for i in batch])
            yield list(zip(batch, answers, strict=True))

    def prompts(self, requests: Sequence[Request]) -> list[str]:
        """What the model is given to continue."""
        return [build_prompt(request.question, request.schema, self.prompt) for request in requests]

    @torch.inference_mode()
    def _run(self, token_ids: list[list[int]], schemas: list[Any]) -> list[Generation]:
        input_ids, attention_mask = self._pad_left(token_ids)
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=None,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([_StopWhenComplete(self, input_ids.shape[1])]),
            logits_processor=self._constraints(schemas, input_ids.shape[1]),
        )
        return [self._read(row) for row in output[:, input_ids.shape[1] :].tolist()]

    def _constraints(self, schemas: list[Any], prompt_length: int) -> list[Any]:
        if self.config.grammar == "none":
            return []
        from t2s.generate.constrained import GrammarLogitsProcessor

        return [GrammarLogitsProcessor(self.tokenizer, [schema.table for schema in schemas], prompt_length)]

    def _pad_left(self, token_ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """``(input_ids, attention_mask)``, both of shape (batch, longest), on the model's device."""
        width = max(len(ids) for ids in token_ids)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in token_ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in token_ids])
        return ids.to(self.model.device), mask.to(self.model.device)

    def _read(self, new_ids: list[int]) -> Generation:
        """Cut a row where it ended; what ``generate`` appended while other rows went on is no answer."""
        kept, finished = new_ids, False
        for position, token in enumerate(new_ids):
            is_eos = token == self.tokenizer.eos_token_id
            if is_eos or (token in self._stop_ids and self._is_complete(new_ids[: position + 1])):
                kept, finished = new_ids[: position + 1], True
                break
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Generation(extract_sql(text), text, len(kept), finished)

    def _is_complete(self, new_ids: list[int]) -> bool:
        """Whether the first statement has ended: more text would not change it.

        Inside quotes it would: after ``'a;`` comes the rest of a value, which shows once the quote is closed.
        """
        text = self.tokenizer.decode(new_ids, skip_special_tokens=True)
        sql = extract_sql(text)
        return bool(text.strip()) and all(extract_sql(f"{text}{close} x") == sql for close in _CLOSING)


class _StopWhenComplete(StoppingCriteria):
    """Stops a row once its first statement has ended; looked at only when its newest token may end one."""

    def __init__(self, generator: Generator, prompt_length: int) -> None:
        self.generator = generator
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        candidates = [int(token) in self.generator._stop_ids for token in input_ids[:, -1]]
        done = [
            candidate and self.generator._is_complete(row[self.prompt_length :].tolist())
            for candidate, row in zip(candidates, input_ids, strict=True)
        ]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def _token_ids_with(tokenizer: Any, fragments: Sequence[str]) -> set[int]:
    """Ids of the tokens whose text contains one of ``fragments``."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return {token for token, text in enumerate(texts) if any(fragment in text for fragment in fragments)}
