"""``t2s merge`` and ``t2s export``: what they leave can be used without t2s, and says what is true of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from test_adapters import logits, randomized
from transformers import AutoModelForCausalLM, AutoTokenizer

from t2s.cli.main import run
from t2s.config import Config, dump, load
from t2s.generate import load_generator
from t2s.model.adapter import attach, read_manifest, save_adapter
from t2s.model.load import load_base
from t2s.model.merge import INFO

Made = tuple[Config, Path, list[str]]


@pytest.fixture(scope="module")
def made(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run's directory with an adapter that does something, and the settings as words."""
    folder = tmp_path_factory.mktemp("made")
    words = tiny_overrides(folder)
    config = load([], words)
    model, _, base = load_base(config, for_training=True)
    about = {"data": {"pipeline": "synthetic", "fingerprint": "abc", "train": 64}, "run": "r|1", "steps": 8}
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text(dump(config))
    save_adapter(randomized(attach(model, config.lora)), folder / "run" / "adapter", base, config.prompt, about)
    return config, folder / "run" / "adapter", words


def test_merged_weights_are_those_that_were_trained(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, adapter, words = made
    assert run(["merge", str(adapter), str(tmp_path / "m"), *words, "--check", "3"]) == 0
    said = capsys.readouterr().err
    told = json.loads((tmp_path / "m" / INFO).read_text())["check"]
    assert told["n"] == 3 and told["merged"]["same_answers"] == 3 and told["merged"]["max_logit_difference"] < 1e-3
    # Rounding the sum to 4 bits again is another model, and that is said.
    assert told["merged_in_4_bits_again"]["max_logit_difference"] > 0.05
    assert "merged: EX" in said and "merged in 4 bits again: EX" in said

    expected = logits(load_generator(config, adapter, merge=False).model)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert torch.allclose(logits(plain), expected, atol=1e-4) and not hasattr(plain.config, "quantization_config")
    assert AutoTokenizer.from_pretrained(tmp_path / "m").eos_token == "</s>"
    as_base = load([], [*words, f"model.name={tmp_path / 'm'}", "quantization.load_in_4bit=false"])
    assert torch.allclose(logits(load_generator(as_base, None).model), expected, atol=1e-4)


def test_merged_weights_have_the_type_that_was_asked_for(made: Made, tmp_path: Path) -> None:
    _, adapter, words = made
    assert run(["merge", str(adapter), str(tmp_path / "m"), *words, "--check", "0", "--dtype", "bf16"]) == 0
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto")
    assert plain.dtype == torch.bfloat16 and "check" not in json.loads((tmp_path / "m" / INFO).read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{adapter}", "{there}"], 2, "never overwritten"),
        (["{adapter}", "{new}", "--dtype", "bf61"], 2, "did you mean 'bf16'"),
        (["none", "{new}"], 2, "no adapter"),
        (["{new}", "{new}"], 2, "no such directory"),
        (["{adapter}", "{new}", "prompt.style=ddl"], 2, "trained on prompts"),
    ],
)
def test_bad_input_is_one_line(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    _, adapter, words = made
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    places = {"adapter": adapter, "there": tmp_path / "there", "new": tmp_path / "new"}
    given = [argument.format(**places) for argument in arguments]
    assert run(["merge", *given[:2], *words, *given[2:], "--check", "0"]) == code
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not (tmp_path / "new").exists() and [p.name for p in (tmp_path / "there").iterdir()] == ["file"]


def evaluation(base: str) -> dict[str, Any]:
    cell = {"accuracy": 0.475, "low": 0.4069, "high": 0.544, "n": 200}
    rows = [{"category": c, "n": 200, "ex": {"base": None, "tuned": cell}, "lf": {"base": None, "tuned": cell}}
            for c in ("where_filters", "overall")]  # fmt: skip
    data = {"pipeline": "synthetic", "split": "test", "n": 200, "fingerprint": "beef"}
    return {
        "data": data, "base": base, "table": rows, "decoding": {"greedy": True, "grammar": "none"},
        "prompt_regime": "schema-only/1",
    }  # fmt: skip


def card_of(directory: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text; the front matter must be YAML between two lines of dashes."""
    _, front, text = (directory / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_an_exported_adapter_loads_with_plain_peft_and_its_card_tells_its_scores(made: Made, tmp_path: Path) -> None:
    config, adapter, words = made
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation(config.model.name)))
    out = tmp_path / "out"
    assert run(["export", str(adapter), str(out), *words, "--evaluation", str(tmp_path), "--licence", "mit"]) == 0
    front, text = card_of(out)
    assert front["library_name"] == "peft" and front["license"] == "mit" and "base_model" not in front
    assert "| overall | 200 | 47.5 (40.7–54.4) | 47.5 (40.7–54.4) |" in text
    assert "| where filters | 200 |" in text and "data hash | abc" in text and "r\\|1" in text
    assert "learning_rate: 0.003" in text and "weights in training | nf4" in text
    assert {row.count("|") for row in text.splitlines() if "47.5" in row} == {5}

    everything = "".join(f.read_text("utf-8", "replace") for f in out.iterdir() if f.suffix != ".safetensors")
    assert str(Path(config.model.name).parent) not in everything, "a path of this machine is in what is given away"
    assert read_manifest(out)["base"]["name"] == Path(config.model.name).name
    base = load_base(config, for_training=False)[0]
    expected = logits(load_generator(config, adapter, merge=False).model)
    assert torch.equal(logits(PeftModel.from_pretrained(base, out)), expected)
    assert torch.equal(logits(load_generator(config, out, merge=False).model), expected)


def test_what_a_card_does_not_know_it_says(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, adapter, words = made
    shutil.copytree(adapter, tmp_path / "alone")
    assert run(["export", str(tmp_path / "alone"), str(tmp_path / "out"), *words]) == 0
    front, text = card_of(tmp_path / "out")
    assert "license" not in front and text.count("not known") == 3
    told = capsys.readouterr().err
    assert "scores are not known: give --evaluation DIR" in told and "licence is not known: give --licence" in told


def test_scores_of_another_base_or_of_nothing_are_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, adapter, words = made
    for found in (evaluation("another/base"), {"n": 1}, [1]):
        (tmp_path / "evaluation.json").write_text(json.dumps(found))
        assert run(["export", str(adapter), str(tmp_path / "out"), *words, "--evaluation", str(tmp_path)]) == 2
        assert "--evaluation" in capsys.readouterr().err and not (tmp_path / "out").exists()
