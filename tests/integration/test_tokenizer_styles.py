"""Llama-, Mistral-, Qwen-, GPT-2- and Llama-3-style tokenizers: the end is learned, once, and the prompt is a prefix.

They are built as the real ones are (normalizer, pre-tokenizer, byte fallback, template, decoder, special tokens) and
trained on a page of text, since nothing is downloaded. Not covered: the vocabularies of the real ones, whose longer
tokens ``t2s doctor`` and every run check by themselves.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_model import fixed_texts
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from t2s.errors import ConfigError, DataError
from t2s.train.encode import IGNORED, encode
from t2s.train.preflight import check_tokens, find_unwritable

PAGE = [prompt + completion for prompt, completion in fixed_texts()]
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


def sentencepiece(page: Iterable[str], prefix: Callable[[Tokenizer], None]) -> Tokenizer:
    """BPE over words that begin with ▁, unknown characters as bytes; begins with <s>, does not end."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(page, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: number for number, token in enumerate([*first, *learned["vocab"]])}
    merges = [tuple(pair) for pair in learned["merges"]]
    raw = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    prefix(raw)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    raw.decoder = decoders.Sequence(parts)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return raw


def bytes_bpe(page: Iterable[str], special: list[str], pattern: str | None) -> Tokenizer:
    """Byte-level BPE; split by ``pattern``, or as GPT-2 splits."""
    raw = Tokenizer(models.BPE())
    if pattern is None:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        raw.pre_tokenizer = pre_tokenizers.Sequence([split, whole])
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(page, trainer)
    return raw


def llama() -> Any:
    def prefix(raw: Tokenizer) -> None:
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])

    raw = sentencepiece(PAGE, prefix)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def mistral() -> Any:
    def prefix(raw: Tokenizer) -> None:
        raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)

    raw = sentencepiece(PAGE, prefix)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def qwen() -> Any:
    raw = bytes_bpe(PAGE, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN)
    raw.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def gpt2() -> Any:
    end = "<|endoftext|>"
    raw = bytes_bpe(PAGE, [end], None)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=end, eos_token=end, unk_token=end)


def llama3() -> Any:
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    raw = bytes_bpe(PAGE, [begin, end], LLAMA3)
    template = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 0)])
    raw.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=begin, eos_token=end)


STYLES = {"llama": llama(), "mistral": mistral(), "qwen": qwen(), "gpt2": gpt2(), "llama3": llama3()}
for _tokenizer in STYLES.values():
    _tokenizer.pad_token = _tokenizer.pad_token or _tokenizer.eos_token
each_style = pytest.mark.parametrize("style", STYLES)


@each_style
def test_a_style_is_what_its_name_says(style: str) -> None:
    tokenizer = STYLES[style]
    ids = tokenizer("SELECT é\n☃")["input_ids"]
    opens = {"llama": True, "mistral": True, "qwen": False, "gpt2": False, "llama3": True}
    assert (ids[0] == tokenizer.bos_token_id) == opens[style] and tokenizer.eos_token_id not in ids
    assert (tokenizer.pad_token_id == tokenizer.eos_token_id) == (style != "qwen")
    assert tokenizer.chat_template is None
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert ("<0xE2>" in tokens) == (style in ("llama", "mistral"))


@each_style
def test_the_labels_are_the_query_and_one_end(style: str) -> None:
    tokenizer = STYLES[style]
    examples = check_tokens(tokenizer, fixed_texts())
    assert not find_unwritable(tokenizer, fixed_texts(), examples)
    for example, (prompt, completion) in zip(examples, fixed_texts(), strict=True):
        assert example.labels[: example.num_prompt] == [IGNORED] * example.num_prompt
        assert example.labels[example.num_prompt :] == example.input_ids[example.num_prompt :]
        assert example.input_ids.count(tokenizer.eos_token_id) == 1 == example.labels.count(tokenizer.eos_token_id)
        assert example.labels[-1] == tokenizer.eos_token_id
        assert example.input_ids[: example.num_prompt] == tokenizer(prompt)["input_ids"]
        assert completion in tokenizer.decode(example.input_ids)


Words = st.text(st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="▁"), min_size=1, max_size=30)


@settings(max_examples=150)
@given(st.sampled_from(sorted(STYLES)), Words, Words)
def test_for_any_text_the_decoded_labels_are_the_completion_and_the_end(style: str, asked: str, query: str) -> None:
    assume(not asked.startswith(" "))
    tokenizer = STYLES[style]
    text = (f"{asked}\nSQL:", f" SELECT {query}")
    (example,) = encode([text], [0], tokenizer)
    *learned, end = (label for label in example.labels if label != IGNORED)
    assert end == tokenizer.eos_token_id and len(example) == example.num_prompt + len(learned) + 1
    whole = tokenizer.decode([*example.input_ids[: example.num_prompt], *learned], skip_special_tokens=True)
    shown = unicodedata.normalize("NFC", "".join(text)) if style == "qwen" else "".join(text)
    assert whole == shown
    # Nothing of the completion is outside the labels, and nothing of the prompt inside.
    prompt = tokenizer.decode(example.input_ids[: example.num_prompt], skip_special_tokens=True)
    assert shown[len(prompt) :] == (unicodedata.normalize("NFC", text[1]) if style == "qwen" else text[1])


@each_style
@pytest.mark.parametrize("side", ["prompt", "query"])
def test_the_end_token_as_text_is_refused_with_its_place(style: str, side: str) -> None:
    tokenizer = STYLES[style]
    bad = f"a{tokenizer.eos_token}b"
    text = (f"{bad if side == 'prompt' else 'x'}\nSQL:", f" SELECT {bad if side == 'query' else 'x'}")
    with pytest.raises(DataError, match=f"a {side} holds the end-of-sequence token as text: .*remove it") as caught:
        check_tokens(tokenizer, [*fixed_texts(), text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("style", ["llama", "mistral", "llama3"])
def test_a_second_begin_token_is_refused(style: str) -> None:
    tokenizer = STYLES[style]
    begin = tokenizer.bos_token
    with pytest.raises(ConfigError, match="two begin tokens"):
        check_tokens(tokenizer, [(f"{begin}x\nSQL:", " SELECT x")])
    with pytest.raises(DataError, match="begin token as text"):
        check_tokens(tokenizer, [(f"x{begin}y\nSQL:", " SELECT x")])


def test_one_bad_prompt_among_many_is_found() -> None:
    raw = bytes_bpe([*PAGE, *(["SQL:S"] * 99)], ["<e>"], r"[^\n]+|\n")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<e>", pad_token="<e>")
    with pytest.raises(ConfigError, match="merges the end of the prompt with the start of the SQL"):
        check_tokens(tokenizer, [*(("a\nSQL:\n", "b"),) * 50, ("SQL:", "S")])


def test_a_query_that_cannot_be_written_back_is_named() -> None:
    texts = [("a\nSQL:", " SELECT 'e\u0301'"), ("a\nSQL:", " SELECT x")]
    assert find_unwritable(STYLES["qwen"], texts, check_tokens(STYLES["qwen"], texts)) == [0]
    assert find_unwritable(STYLES["gpt2"], texts, check_tokens(STYLES["gpt2"], texts)) == []


def test_an_example_without_a_query_is_refused() -> None:
    with pytest.raises(DataError, match="no query to learn"):
        check_tokens(STYLES["gpt2"], [("a\nSQL:", "")])
