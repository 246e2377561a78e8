"""Hugging Face ``generate``, for models that do not attend through the standard cache; grammar masks included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria, StoppingCriteriaList

from t2s.generate.writer import Writer


@torch.inference_mode()
def write(model: Any, tokenizer: Any, writers: Sequence[Writer]) -> None:
    """Bring all ``writers`` to their end, in one padded batch."""
    width = max(len(writer.prompt) for writer in writers)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(w.prompt)) + w.prompt for w in writers])
    mask = torch.tensor([[0] * (width - len(w.prompt)) + [1] * len(w.prompt) for w in writers])
    model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max(writer.limit for writer in writers),
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=None,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        stopping_criteria=StoppingCriteriaList([_Follow(writers)]),
        logits_processor=[_Allowed(writers)],
    )


class _Allowed(LogitsProcessor):
    """Scores (rows, vocabulary) with minus infinity where a row's grammar does not go on."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row, writer in enumerate(self._writers):
            if writer.constraint is not None and not writer.is_over:
                allowed = torch.from_numpy(writer.constraint.allowed(scores.shape[1]))
                scores[row] = scores[row].masked_fill(~allowed.to(scores.device), float("-inf"))
        return scores


class _Follow(StoppingCriteria):
    """Writes each row's newest token down, and stops rows that are over."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        for token, writer in zip(input_ids[:, -1].tolist(), self._writers, strict=True):
            writer.stop_if_asked()
            if not writer.is_over:
                writer.write(token, forced=False)
        return torch.tensor([writer.is_over for writer in self._writers], device=input_ids.device)
