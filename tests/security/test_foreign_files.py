"""Promise X8: what somebody else's model or adapter directory may not do here."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from tiny_model import save_tiny_model

from t2s.config import load
from t2s.errors import AdapterError, T2SError
from t2s.model.adapter import MANIFEST, read_manifest
from t2s.model.base import find_base
from t2s.model.load import load_base, load_tokenizer

ROOT = Path(__file__).resolve().parents[2] / "t2s"
LOADERS = ("AutoModelForCausalLM", "AutoTokenizer", "AutoConfig", "AutoModel")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A whole adapter, as far as its files and hashes go."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    write(folder, {"peft_type": "LORA", "r": 4})
    assert read_manifest(folder)
    return folder


def write(folder: Path, settings: dict[str, object]) -> None:
    files = {"adapter_model.safetensors": b"weights", "adapter_config.json": json.dumps(settings).encode()}
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    (folder / MANIFEST).write_text(json.dumps({"files": hashes}))


@pytest.mark.parametrize(
    "name",
    ["adapter_model.bin", "training_args.pt", "weights.pkl", "modeling_evil.py", "..data", ".hidden", "optimizer.ckpt"],
)
def test_a_file_that_does_not_belong_in_an_adapter_has_it_refused(adapter: Path, name: str) -> None:
    (adapter / name).write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(AdapterError, match="does not belong in an adapter; remove it"):
        read_manifest(adapter)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "adapter_config.json"])
def test_a_link_in_an_adapter_has_it_refused(adapter: Path, target: str) -> None:
    (adapter / "README.md").symlink_to(target)
    with pytest.raises(AdapterError, match=r"README\.md does not belong"):
        read_manifest(adapter)


def test_a_folder_in_an_adapter_has_it_refused(adapter: Path) -> None:
    (adapter / "README.md").mkdir()
    with pytest.raises(AdapterError, match=r"README\.md does not belong"):
        read_manifest(adapter)


@pytest.mark.parametrize(
    "settings",
    [
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": "LORA", "auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
        {"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "os"},
        {"peft_type": "LORA", "modules_to_save": ["embed_tokens"]},
    ],
)
def test_settings_of_peft_that_do_more_than_add_matrices_are_refused(
    adapter: Path, settings: dict[str, object]
) -> None:
    write(adapter, settings)
    with pytest.raises(AdapterError, match="only plain LoRA is loaded"):
        read_manifest(adapter)


def test_a_model_with_code_of_its_own_does_not_run_it(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    ran = tmp_path / "it-ran"
    (model / "modeling_evil.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Evil: pass\n")
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((model / name).read_text())
        classes = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")
        settings["auto_map"] = dict.fromkeys(classes, "modeling_evil.Evil")
        settings["auto_map"]["AutoTokenizer"] = ["modeling_evil.Evil", "modeling_evil.Evil"]
        (model / name).write_text(json.dumps(settings))
    config = load([], [f"model.name={model}", "training.use_gpu=false", "quantization.load_in_4bit=false"])
    load_base(config, for_training=False)  # transformers' own Llama is known to it
    load_tokenizer(find_base(config.model))
    assert not ran.exists()
    settings = json.loads((model / "config.json").read_text()) | {"model_type": "evil", "architectures": ["Evil"]}
    (model / "config.json").write_text(json.dumps(settings))
    with pytest.raises((ValueError, T2SError)):
        load_base(config, for_training=False)
    assert not ran.exists()


def test_every_load_of_transformers_says_that_remote_code_is_not_trusted() -> None:
    calls, trusting = 0, []
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = getattr(node.func.value, "id", "")
            if owner in LOADERS and node.func.attr in ("from_pretrained", "from_config"):
                calls += 1
                said = {word.arg: word.value for word in node.keywords}.get("trust_remote_code")
                if not isinstance(said, ast.Constant) or said.value is not False:
                    trusting.append(f"{file}:{node.lineno}")
    assert calls >= 6 and trusting == []


def test_nothing_unpickles_or_loads_yaml_objects() -> None:
    """``cloudpickle.loads`` in the search's pool is of what the same driver has just sent to its own actors."""
    banned = {("pickle", "load"), ("pickle", "loads"), ("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load")}
    found = []
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and (getattr(node.value, "id", ""), node.attr) in banned:
                found.append(f"{file}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and any((node.module, each.name) in banned for each in node.names):
                found.append(f"{file}:{node.lineno}")
    assert found == []
