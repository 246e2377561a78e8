"""What a worker computes, without Ray: labels, loss, gradients, precision and the order of examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import EOS, fixed_texts, losses, save_tokenizer, tiny_texts, tiny_trainer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, set_seed
from trl import SFTTrainer

from t2s.config import Config, load
from t2s.errors import ConfigError, DataError
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.train.batches import LengthSortedBatches
from t2s.train.encode import Encoded
from t2s.train.preflight import check_tokens
from t2s.train.sharing import SharingCollator, rows_of, shares_exactly
from t2s.train.trainer import trainer_arguments

Settings = Callable[..., Config]


@pytest.fixture
def settings(tiny_overrides: Callable[[Path], list[str]], tmp_path: Path) -> Settings:
    return lambda *more: load([], [*tiny_overrides(tmp_path), *more])


def first_batch(trainer: Any, size: int = 5) -> dict[str, torch.Tensor]:
    """Examples of different lengths, collated as in training."""
    return trainer.data_collator([trainer.train_dataset[i] for i in range(size)])


def test_the_end_is_a_label_and_the_prompt_is_none(settings: Settings, tmp_path: Path) -> None:
    trainer = tiny_trainer(settings(), tmp_path)
    tokenizer = trainer.processing_class
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    batch = first_batch(trainer, len(fixed_texts()))
    assert (batch["attention_mask"] == 0).any(), "no row is padded: the test would prove nothing"
    for row, (prompt, completion) in enumerate(fixed_texts()):
        length = int(batch["attention_mask"][row].sum())
        start = len(tokenizer(prompt)["input_ids"])
        labels = batch["labels"][row]
        assert labels[length - 1] == tokenizer.eos_token_id
        assert (labels[:start] == -100).all() and (labels[length:] == -100).all()
        assert tokenizer.decode(labels[start:length]) == completion + EOS


def test_loss_and_gradients_are_those_of_stock_trl(settings: Settings, tmp_path: Path) -> None:
    config = settings("quantization.load_in_4bit=false")
    ours = tiny_trainer(config, tmp_path / "ours")
    model, tokenizer, _ = load_base(config, for_training=True)
    stock = SFTTrainer(
        model=attach(model, config.lora),
        args=stock_arguments(config, model.device, tmp_path / "stock"),
        train_dataset=Dataset.from_dict(
            dict(zip(("prompt", "completion"), zip(*fixed_texts(), strict=True), strict=True))
        ),
        processing_class=tokenizer,
    )
    found = []
    for trainer in (ours, stock):
        randomize_adapter(trainer.model)
        loss = trainer.compute_loss(trainer.model.train(), first_batch(trainer))
        loss.backward()
        grads = {name: p.grad for name, p in trainer.model.named_parameters() if p.requires_grad}
        found.append((loss.detach(), grads))
    (our_loss, our_grads), (stock_loss, stock_grads) = found
    assert abs(our_loss - stock_loss) < 1e-5
    assert our_grads.keys() == stock_grads.keys() and len(our_grads) == 28
    for name, grad in our_grads.items():
        assert grad is not None and grad.abs().max() > 0, name
        torch.testing.assert_close(grad, stock_grads[name], rtol=1e-5, atol=1e-5)


def stock_arguments(config: Config, device: Any, out: Path) -> Any:
    """Our arguments, without what keeps TRL from making tokens and labels itself."""
    arguments = trainer_arguments(config, device, out, 1)
    arguments.dataset_kwargs, arguments.remove_unused_columns = None, True
    return arguments


def randomize_adapter(model: Any) -> None:
    """LoRA's B starts at zero, where A has no gradient."""
    set_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)


def test_adapters_are_fp32_on_a_4_bit_base_and_it_stays_frozen(settings: Settings, tmp_path: Path) -> None:
    trainer = tiny_trainer(settings("training.max_steps=3"), tmp_path)
    weight = trainer.model.get_parameter("base_model.model.model.layers.0.mlp.up_proj.base_layer.weight")
    assert weight.dtype == torch.uint8
    before = weight.clone()
    assert all("lora_" in name for name, p in trainer.model.named_parameters() if p.requires_grad)
    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}
    first, *_, last = losses(trainer)
    assert last < first and torch.equal(weight, before)


def test_no_4_bit_layer_takes_the_kernel_of_some_cpus_that_has_no_backward_pass(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    layers = [layer for layer in load_base(settings(), for_training=True)[0].modules() if isinstance(layer, Linear4bit)]
    assert layers and not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_a_4_bit_base_written_out_for_inference_computes_the_same(settings: Settings) -> None:
    packed, tokenizer, _ = load_base(settings(), for_training=True)
    plain, _, _ = load_base(settings(), for_training=False)
    assert plain.model.layers[0].mlp.up_proj.weight.dtype == torch.float32
    ids = tokenizer([fixed_texts()[0][0]], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert (packed(ids).logits - plain(ids).logits).abs().max() < 1e-4


def test_accumulated_small_batches_train_like_one_large_batch(settings: Settings, tmp_path: Path) -> None:
    common = ("training.max_steps=4", "training.lr_scheduler=constant", "training.warmup_ratio=0")
    whole = settings(*common)
    halves = settings(*common, "training.batch_size=4", "training.gradient_accumulation_steps=2")
    expected = losses(tiny_trainer(whole, tmp_path / "whole"))
    assert losses(tiny_trainer(halves, tmp_path / "halves")) == pytest.approx(expected, abs=1e-5)


def test_a_resumed_training_takes_the_same_steps_also_with_dropout(settings: Settings, tmp_path: Path) -> None:
    config = settings("training.epochs=2", "lora.dropout=0.2")
    trainer = tiny_trainer(config, tmp_path / "whole")
    trainer.args.save_strategy, trainer.args.save_steps, trainer.args.save_total_limit = "steps", 3, None
    trainer.train()
    expected = logged(trainer)
    for step in (3, 6):  # inside an epoch, and after its end
        resumed = tiny_trainer(config, tmp_path / "again")
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"step-{step}"))
        assert logged(resumed) == pytest.approx(expected, abs=1e-6)


def logged(trainer: Any) -> list[float]:
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


Lengths = st.lists(st.integers(1, 300), min_size=1, max_size=80)
Sizes = st.integers(1, 16)


def of_lengths(lengths: list[int]) -> list[Encoded]:
    """Examples of these lengths over seven tables."""
    return [Encoded([index % 7] * length, length - 1, index % 7) for index, length in enumerate(lengths)]


@given(Lengths, Sizes, st.integers(0, 5), st.integers(0, 5), st.integers(1, 5))
def test_an_epoch_has_every_example_once_in_an_order_of_its_own(
    lengths: list[int], size: int, seed: int, epoch: int, shared: int
) -> None:
    batches, again = (LengthSortedBatches(of_lengths(lengths), size, seed, shared) for _ in range(2))
    list(again)  # having been used before changes nothing
    batches.set_epoch(epoch)
    again.set_epoch(epoch)
    order = list(batches)
    assert sorted(order) == list(range(len(lengths))) and list(again) == order == list(batches)


@given(Lengths, Sizes, st.integers(0, 5))
def test_full_batches_hold_neighbours_in_length(lengths: list[int], size: int, seed: int) -> None:
    order = [lengths[i] for i in LengthSortedBatches(of_lengths(lengths), size, seed)]
    full = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    # Sorted batches do not overlap, so all that is padded fits between the shortest and the longest example.
    assert sum(max(batch) - min(batch) for batch in full) <= max(lengths) - min(lengths)


def test_another_epoch_and_another_seed_have_another_order() -> None:
    examples = of_lengths(list(range(1, 65)))
    batches = LengthSortedBatches(examples, 8, seed=0)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first != list(LengthSortedBatches(examples, 8, seed=1))


@pytest.mark.parametrize(
    ("template", "prompt", "message"),
    [
        ("$A </s>", "x", "merges the end of the prompt"),  # ends every text, the prompt too
        ("<s> <s> $A", "x", "two begin tokens"),
        ("$A", "x </s> y", "holds the end-of-sequence token"),
    ],
)
def test_a_tokenizer_that_would_hide_the_end_is_refused(
    tmp_path: Path, template: str, prompt: str, message: str
) -> None:
    save_tokenizer(tmp_path, ["SELECT x"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    with pytest.raises((ConfigError, DataError), match=message):
        check_tokens(tokenizer, [(f"{prompt}\nSQL:", " SELECT x")])


def test_a_tokenizer_that_merges_across_the_cue_is_refused(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, ["SQL: S " * 9], split=False)
    with pytest.raises(ConfigError, match="merges the end of the prompt"):
        check_tokens(tokenizer, [("SQL:", " S")])


def test_a_shared_row_has_the_loss_and_gradients_of_separate_rows(settings: Settings, tmp_path: Path) -> None:
    config = settings("quantization.load_in_4bit=false")
    trainer = tiny_trainer(config, tmp_path)
    examples = sorted(tiny_texts(trainer.processing_class, tables=True).train, key=lambda example: example.table)[:14]
    assert any(len(row.examples) > 2 for row in rows_of(examples)), "no row is shared: the test would prove nothing"
    randomize_adapter(trainer.model)
    found = []
    for share in (False, True):
        batch = SharingCollator(trainer.processing_class.pad_token_id, share)([asdict(e) for e in examples])
        trainer.model.zero_grad()
        loss = trainer.compute_loss(trainer.model.train(), batch)
        loss.backward()
        grads = [p.grad.clone() for p in trainer.model.parameters() if p.requires_grad]
        found.append((batch["input_ids"].numel(), float(loss.detach()), grads))
    (tokens, loss, grads), (shared_tokens, shared_loss, shared_grads) = found
    assert shared_tokens < 0.8 * tokens and shared_loss == pytest.approx(loss, abs=1e-5)
    for grad, shared_grad in zip(grads, shared_grads, strict=True):
        torch.testing.assert_close(shared_grad, grad, rtol=1e-4, atol=1e-5)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(17, 40), st.integers(1, 5)), min_size=1))
def test_rows_keep_every_token_label_and_position(drawn: list[tuple[int, int, int, int]]) -> None:
    examples = [
        Encoded([table] * 17 + [10 + variant] * (prompt - 16) + [20] * answer, prompt + 1, table)
        for table, variant, prompt, answer in drawn
    ]
    batch = SharingCollator(99, share=True)([asdict(example) for example in examples])
    mask = batch["attention_mask"]
    labels = batch["labels"][batch["labels"] != -100].tolist()
    assert labels == [token for example in examples for token in example.labels if token != -100]
    ends = (batch["labels"] != -100) & (torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=-100) == -100)
    if mask.dim() == 2:
        return
    for row, column in ends.nonzero().tolist():
        # What the last token of an example attends to is that example, token by token, in its own positions.
        seen = mask[row, 0, column].nonzero().flatten()
        assert batch["position_ids"][row, seen].tolist() == list(range(len(seen)))
        assert batch["input_ids"][row, seen].tolist() in [example.input_ids for example in examples]


def test_a_model_that_ignores_the_mask_is_found_out(settings: Settings, tmp_path: Path) -> None:
    trainer = tiny_trainer(settings("quantization.load_in_4bit=false"), tmp_path)
    examples = tiny_texts(trainer.processing_class, tables=True).train
    assert all(one.table != other.table for one, other in pairwise(examples)), "none of a table stand side by side"
    pad = trainer.processing_class.pad_token_id
    assert shares_exactly(trainer.model, examples, pad)

    class Deaf(torch.nn.Module):
        device, training, config = torch.device("cpu"), False, trainer.model.config

        def forward(self, attention_mask: torch.Tensor, **given: Any) -> Any:
            return trainer.model(**given)

    assert not shares_exactly(Deaf(), examples, pad)
    trainer.model.config._attn_implementation = "eager"
    assert not shares_exactly(trainer.model, examples, pad)
