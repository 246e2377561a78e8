"""One row for several questions about one table: the schema that their prompts begin with is computed once.

Examples whose token sequences begin alike become one row, *trunk* first, then a branch for each example. A token of a
branch attends to the trunk and to its own branch, at the positions that it would have alone: every hidden state, the
loss and the gradients are those of separate rows, for less work. (Prefix sharing is known from inference, for
example Hydragen, https://arxiv.org/abs/2402.05099; here it is exact in training because the trunk holds no label.)

Not every architecture keeps that promise (sliding windows, state-space layers, kernels that ignore a mask), so that
:func:`shares_exactly` asks the model itself before a training relies on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from t2s.train.encode import IGNORED, Encoded

MIN_TRUNK = 16
"""Tokens; a shorter common beginning is not worth a longer row."""
_TOLERANCE = 1e-3
"""Of log-probabilities, against the largest of them: far above what another order of additions changes."""


@dataclass(frozen=True, slots=True)
class Row:
    """``trunk`` tokens that all of ``examples`` begin with; 0 for a row of one example."""

    trunk: int
    examples: tuple[Encoded, ...]

    def __len__(self) -> int:
        return self.trunk + sum(len(example.input_ids) - self.trunk for example in self.examples)


class SharingCollator:
    """Builds a batch from examples; those that can share must stand side by side (:mod:`t2s.train.batches`)."""

    def __init__(self, pad_token_id: int, share: bool) -> None:
        self._pad = pad_token_id
        self._share = share

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """``input_ids``, ``labels`` and ``position_ids`` of shape (rows, time), and ``attention_mask``.

        The mask is (rows, 1, time, time) if any row is shared, else the usual (rows, time).
        """
        examples = [Encoded(**feature) for feature in features]
        rows = list(rows_of(examples)) if self._share else [Row(0, (example,)) for example in examples]
        width = max(map(len, rows))
        columns = [_row_tensors(row, width, self._pad) for row in rows]
        ids, labels, positions, branches = (torch.stack(column) for column in zip(*columns, strict=True))
        is_shared = any(row.trunk for row in rows)
        mask = _branch_mask(branches) if is_shared else (branches >= 0).long()
        return {"input_ids": ids, "labels": labels, "position_ids": positions, "attention_mask": mask}


def rows_of(examples: Sequence[Encoded]) -> Iterator[Row]:
    """Put neighbours that ask the same table into one row, in their order."""
    at = 0
    while at < len(examples):
        trunk, end = _longest_trunk(examples[at]), at + 1
        while end < len(examples) and examples[end].table == examples[at].table:
            shorter = min(trunk, common_prefix(examples[at], examples[end]))
            if shorter < MIN_TRUNK:
                break
            trunk, end = shorter, end + 1
        yield Row(trunk if end - at > 1 else 0, tuple(examples[at:end]))
        at = end


def common_prefix(first: Encoded, second: Encoded) -> int:
    """Tokens that both begin with, the last token of either prompt left out: what predicts a label is not shared."""
    limit = min(_longest_trunk(first), _longest_trunk(second))
    pairs = zip(first.input_ids[:limit], second.input_ids[:limit], strict=True)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), limit)


def _longest_trunk(example: Encoded) -> int:
    return max(0, example.num_prompt - 1)


@torch.inference_mode()
def shares_exactly(model: Any, examples: Sequence[Encoded], pad_token_id: int) -> bool:
    """Whether ``model`` gives a shared row the log-probabilities of separate rows; True if nothing can be shared.

    Attention that transformers writes out (``eager``) adds a mask of yes and no instead of obeying it, which a base
    whose attention is nearly even does not show: it is not asked.
    """
    by_table = sorted(examples, key=lambda example: example.table)  # as batches will put them
    pair = next((row.examples[:2] for row in rows_of(by_table) if row.trunk), None)
    if pair is None:
        return True
    if getattr(model.config, "_attn_implementation", "eager") == "eager":
        return False
    features = [asdict(example) for example in pair]
    collators = (SharingCollator(pad_token_id, share) for share in (False, True))
    alone, together = (_label_log_probs(model, collate(features)) for collate in collators)
    return torch.allclose(alone, together, rtol=0, atol=_TOLERANCE * float(alone.abs().max()))


def _label_log_probs(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    was_training = model.training
    model.eval()
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    labels = batch.pop("labels")[:, 1:]
    logits = model(**batch, use_cache=False).logits[:, :-1][labels != IGNORED].float()
    model.train(was_training)
    return logits.log_softmax(-1).gather(1, labels[labels != IGNORED][:, None]).cpu()


def _row_tensors(row: Row, width: int, pad: int) -> tuple[torch.Tensor, ...]:
    """Tokens, labels, positions and branch numbers (0 trunk, -1 padding), each of ``width``."""
    ids = list(row.examples[0].input_ids[: row.trunk])
    labels, positions, branches = [IGNORED] * row.trunk, list(range(row.trunk)), [0] * row.trunk
    for number, example in enumerate(row.examples, start=1):
        tail = len(example.input_ids) - row.trunk
        ids += example.input_ids[row.trunk :]
        labels += example.labels[row.trunk :]
        positions += range(row.trunk, row.trunk + tail)
        branches += [number] * tail
    filled = ((ids, pad), (labels, IGNORED), (positions, 0), (branches, -1))
    return tuple(torch.tensor(values + [fill] * (width - len(values))) for values, fill in filled)


def _branch_mask(branches: torch.Tensor) -> torch.Tensor:
    """(rows, time) branch numbers to a boolean (rows, 1, time, time): who may be attended to by whom."""
    keys, queries = branches[:, None, :], branches[:, :, None]
    causal = torch.ones(branches.shape[1], branches.shape[1], dtype=torch.bool).tril()
    allowed = causal & ((keys == 0) | (keys == queries))
    # Padding (-1) attends to padding: a row of nothing at all would be NaN.
    return allowed[:, None]
