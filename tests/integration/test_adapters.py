"""Adapters on disk: what is saved comes back to the bit, and what is not what was saved is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_model import EOS, losses, save_tiny_model, tiny_trainer
from transformers import AutoModelForCausalLM, set_seed

from t2s.config import Config, LoraConfig, ModelConfig, load
from t2s.errors import AdapterError, ConfigError, SetupError
from t2s.generate import load_generator
from t2s.model.adapter import MANIFEST, attach, load_adapter, read_manifest, save_adapter
from t2s.model.base import find_base
from t2s.model.load import load_base
from t2s.model.merge import merge_adapter
from t2s.model.skeleton import adapted_layers, build_skeleton, count_trainable

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def config(tiny_overrides: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load([], tiny_overrides(tmp_path_factory.mktemp("adapters")))


@pytest.fixture
def adapter(config: Config, tmp_path: Path) -> Path:
    """An adapter with weights that do something, saved beside nothing else."""
    model, _, base = load_base(config, for_training=False)
    save_adapter(randomized(attach(model, config.lora)), tmp_path / "adapter", base, config.prompt, {"run": "r1"})
    return tmp_path / "adapter"


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    set_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(torch.arange(5, 25).unsqueeze(0)).logits


def test_a_saved_adapter_loads_with_equal_logits(config: Config, tmp_path: Path) -> None:
    model, _, base = load_base(config, for_training=False)
    bare = logits(model)
    tuned = randomized(attach(model, config.lora))
    expected = logits(tuned)
    assert (expected - bare).abs().max() > 0.1
    save_adapter(tuned, tmp_path / "a", base, config.prompt, {"run": "r1"})
    again = load_adapter(load_base(config, for_training=False)[0], tmp_path / "a", base, config.prompt)
    assert torch.equal(logits(again), expected)
    assert sorted(entry.name for entry in (tmp_path / "a").iterdir()) == ["adapter_config.json", WEIGHTS, MANIFEST]
    assert read_manifest(tmp_path / "a")["run"] == "r1"
    assert not list(tmp_path.glob("*.tmp"))


def flip_a_byte(adapter: Path) -> None:
    data = bytearray((adapter / WEIGHTS).read_bytes())
    data[-100] ^= 1
    (adapter / WEIGHTS).write_bytes(data)


def retarget(adapter: Path) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": "elsewhere"}))


def link_the_weights(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter.parent / "weights")
    (adapter / WEIGHTS).symlink_to(adapter.parent / "weights")


def write_manifest(text: str) -> Callable[[Path], None]:
    return lambda adapter: (adapter / MANIFEST).write_text(text) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, f"{WEIGHTS} is not the file that was saved"),
        (retarget, "adapter_config.json is not the file that was saved"),
        (lambda adapter: (adapter / MANIFEST).unlink(), f"{MANIFEST} is missing; point to a directory"),
        (lambda adapter: (adapter / WEIGHTS).unlink(), f"{WEIGHTS} is missing; point to a directory"),
        (
            lambda adapter: (adapter / "adapter_model.bin").write_bytes(b"\x80\x04."),
            "adapter_model.bin does not belong",
        ),
        (lambda adapter: (adapter / "checkpoint").mkdir(), "checkpoint does not belong in an adapter; remove it"),
        (link_the_weights, f"{WEIGHTS} does not belong in an adapter"),
        (lambda adapter: os.truncate(adapter / WEIGHTS, 10), "is not the file that was saved"),
        (write_manifest("{"), "not JSON"),
        (write_manifest("[1]"), "expected an object"),
        (write_manifest("{}"), "is not the file that was saved"),
        (write_manifest('{"files": 3}'), "is not the file that was saved"),
        (write_manifest("\ud800".encode("utf-8", "surrogatepass").decode("latin-1")), "not JSON"),
    ],
)
def test_a_damaged_adapter_is_refused_with_its_place(
    config: Config, adapter: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(adapter)
    with pytest.raises(AdapterError, match=message) as caught:
        load_generator(config, adapter)
    assert str(adapter) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("seed", "hidden"), [(2, 64), (1, 32)])
def test_an_adapter_of_another_base_is_refused_with_the_cure(
    config: Config, adapter: Path, tmp_path: Path, seed: int, hidden: int
) -> None:
    other = save_tiny_model(tmp_path / "other", seed, hidden)
    foreign = config.model_copy(update={"model": ModelConfig(name=str(other))})
    with pytest.raises(AdapterError, match=r"set model\.name to the adapter's base"):
        load_generator(foreign, adapter)


@pytest.mark.parametrize("manifest", ['{"base": 3}', '{"prompt_regime": "other/1"}'])
def test_a_manifest_of_another_kind_is_refused(config: Config, adapter: Path, manifest: str) -> None:
    told = json.loads((adapter / MANIFEST).read_text())
    (adapter / MANIFEST).write_text(json.dumps(told | json.loads(manifest)))
    with pytest.raises(AdapterError, match="trained on"):
        load_generator(config, adapter)


def test_no_directory_no_adapter(config: Config, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no such directory"):
        load_generator(config, tmp_path / "none")


@pytest.mark.parametrize("targets", [["q_prj"], ["q_proj", "q_prj"]])
def test_a_layer_that_the_base_lacks_is_refused_with_those_it_has(config: Config, targets: list[str]) -> None:
    model, _, _ = load_base(config, for_training=False)
    with pytest.raises(ConfigError, match=r"no layer q_prj \(did you mean 'q_proj'\?\); it has .*v_proj"):
        attach(model, LoraConfig(target_modules=targets))


def test_a_wrong_layer_is_found_without_loading_weights(config: Config) -> None:
    skeleton = build_skeleton(find_base(config.model))
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    with pytest.raises(ConfigError, match="no layer nonsense"):
        adapted_layers(skeleton, LoraConfig(target_modules=["nonsense"]))


FULL, NF4 = "quantization.load_in_4bit=false", "quantization.load_in_4bit=true"
EVERYWHERE = ["lora.init=default", "lora.init=gaussian", "lora.use_rslora=true", "lora.use_dora=true"]
OPTIONS = [
    *[(form, option) for form in (FULL, NF4) for option in EVERYWHERE],
    *[(FULL, f"lora.init={init}") for init in ("pissa", "olora", "orthogonal")],
    (FULL, "lora.init=pissa lora.use_rslora=true"),
    (FULL, "lora.init=olora lora.use_dora=true"),
    (FULL, "lora.target_modules=[q_proj,down_proj]"),
]


@pytest.mark.parametrize(("form", "option"), OPTIONS)
def test_each_option_trains_and_survives_saving_loading_and_merging(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path, form: str, option: str
) -> None:
    words = [*tiny_overrides(tmp_path), form, *option.split(), "training.max_steps=2", "training.learning_rate=0.02"]
    config = load([], words)
    base, _, files = load_base(config, for_training=True)
    bare = logits(base)
    assert torch.allclose(logits(attach(base, config.lora)), bare, atol=1e-4), "an adapter begins as no change"

    trainer = tiny_trainer(config, tmp_path / "steps")
    count = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    assert count == count_trainable(build_skeleton(files), config.lora)
    assert len(losses(trainer)) == 2
    trained = logits(trainer.model)
    assert (trained - bare).abs().max() > 0.05
    save_adapter(trainer.model, tmp_path / "adapter", files, config.prompt, {})

    served = load_adapter(load_base(config, for_training=False)[0], tmp_path / "adapter", files, config.prompt)
    assert torch.allclose(logits(served), trained, atol=2e-4)
    info = merge_adapter(config, tmp_path / "adapter", tmp_path / "merged", "fp32")
    assert info["base"]["form"] == ("nf4" if form == NF4 else "float32")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.allclose(logits(plain), trained, atol=2e-4)
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert told["init_lora_weights"] is True and told["base_model_name_or_path"] == config.model.name


@pytest.mark.parametrize("init", ["pissa", "olora", "orthogonal"])
def test_an_initialisation_of_full_weights_is_refused_on_a_4_bit_base(init: str) -> None:
    with pytest.raises(ConfigError, match=rf"lora\.init={init} .* set quantization\.load_in_4bit=false"):
        load([], [f"lora.init={init}"])


def test_odd_ranks_have_no_orthogonal_start() -> None:
    with pytest.raises(ConfigError, match=r"needs an even rank, and lora\.r is 3"):
        load([], ["lora.init=orthogonal", "lora.r=3", FULL])


@pytest.mark.parametrize("form", [FULL, NF4])
def test_gradient_checkpointing_changes_no_loss(
    tiny_overrides: Callable[[Path], list[str]], tmp_path: Path, form: str
) -> None:
    words = [*tiny_overrides(tmp_path), form, "training.max_steps=3", "lora.dropout=0.1"]
    off, on = (load([], [*words, f"training.gradient_checkpointing={on}"]) for on in ("false", "true"))
    recomputing = tiny_trainer(on, tmp_path / "on")
    assert recomputing.args.gradient_checkpointing
    assert losses(recomputing) == pytest.approx(losses(tiny_trainer(off, tmp_path / "off")), abs=1e-5)


def test_a_base_is_known_by_its_bytes_and_not_by_its_path(tiny_model: Path, tmp_path: Path) -> None:
    same, other = save_tiny_model(tmp_path / "same"), save_tiny_model(tmp_path / "other", seed=2)
    prints = [find_base(ModelConfig(name=str(place))).fingerprint for place in (tiny_model, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_what_is_no_model_is_refused_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="no such directory"):
        find_base(ModelConfig(name=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="holds neither"):
        find_base(ModelConfig(name=str(tmp_path)))
    with pytest.raises(SetupError, match=r"set model\.name to a directory"):
        find_base(ModelConfig(name="nobody/nothing-7b"))


def test_a_tokenizer_without_an_end_is_refused(config: Config, tmp_path: Path) -> None:
    place = save_tiny_model(tmp_path / "endless")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (place / name).is_file():
            (place / name).write_text((place / name).read_text().replace(f'"{EOS}"', "null"))
    endless = config.model_copy(update={"model": replace_name(config.model, place)})
    with pytest.raises(ConfigError, match="no end-of-sequence token"):
        load_base(endless, for_training=False)


def replace_name(model: ModelConfig, place: Path) -> ModelConfig:
    return model.model_copy(update={"name": str(place)})
