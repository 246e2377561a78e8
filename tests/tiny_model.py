"""A Llama of two layers with random weights and a tokenizer of its own: the real architecture, loaded in a second.

Nothing is downloaded, and nothing depends on the data generator. The pad token is the end-of-sequence token, as in
SmolLM2, and the tokenizer adds no special tokens by itself, as in Mistral-7B-v0.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from t2s.config import Config
from t2s.model.adapter import attach
from t2s.model.load import load_base
from t2s.train.encode import encode
from t2s.train.texts import TrainingTexts
from t2s.train.trainer import build_trainer

BOS, EOS = "<s>", "</s>"
COLUMNS = ("name", "team", "city", "score", "year of birth", "salary")
ASKED = ("What is the {0} with {1} {2}?", "Which {0} has a {1} of {2}?", "How many {0} are there where {1} is {2}?")


def fixed_texts() -> list[tuple[str, str]]:
    """36 (prompt, completion) pairs of several lengths, the same for ever: golden numbers hang on them."""
    pairs = []
    for number in range(36):
        selected, asked = COLUMNS[number % 6], COLUMNS[(number * 5 + 1 + number // 6) % 6]
        question = ASKED[number % 3].format(selected, asked, number * 7)
        schema = "TABLE: people ( " + ", ".join(f"{name} (text)" for name in COLUMNS[: 3 + number % 4]) + " )"
        sql = f'SELECT "{selected}" FROM people WHERE "{asked}" = {number * 7}'
        pairs.append((f"{schema}\nQUESTION: {question}\nSQL:", f" {sql}"))
    return pairs


def save_tokenizer(directory: Path, texts: Iterable[str], split: bool = True) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most 512 tokens on ``texts`` and save it; ``split=False`` merges across words."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=BOS, eos_token=EOS, pad_token=EOS)
    tokenizer.save_pretrained(directory)
    return tokenizer


def save_tiny_model(directory: Path, seed: int = 1, hidden: int = 64) -> Path:
    """Write a random model and its tokenizer to ``directory`` as safetensors; the same seed gives the same bytes."""
    directory.mkdir(parents=True)
    tokenizer = save_tokenizer(directory, (prompt + completion for prompt, completion in fixed_texts()))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.2,  # larger than usual: what an untrained model writes then depends on what it reads
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def tiny_texts(tokenizer: Any, tables: bool = False) -> TrainingTexts:
    """:func:`fixed_texts` as a training sees them; with ``tables`` those of equal schema are of one table."""
    pairs = fixed_texts()
    encoded = encode(pairs, [number % 4 if tables else number for number in range(len(pairs))], tokenizer)
    return TrainingTexts(encoded, encoded, 0)


def tiny_trainer(config: Config, out: Path, texts: TrainingTexts | None = None) -> Any:
    """A worker's trainer as the training loop builds it, without Ray; on :func:`fixed_texts` if nothing is given."""
    torch.set_num_threads(1)
    model, tokenizer, _ = load_base(config, for_training=True)
    set_seed(config.seed)
    chosen = texts or tiny_texts(tokenizer)
    trainer = build_trainer(config, attach(model, config.lora), tokenizer, chosen, out, 1)
    trainer.args.save_strategy = "no"
    return trainer


def losses(trainer: Any) -> list[float]:
    """Train, and return the loss of each logged step."""
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]
