from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import Config, dump, load
from t2s.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.yaml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_shipped_configuration_resolves_and_is_named_in_the_readme(file: Path) -> None:
    load([file])
    assert f"`{file.name}`" in (file.parent / "README.md").read_text("utf-8")


def test_the_shipped_mistral_configuration_is_the_documented_default() -> None:
    config = load([next(file for file in CONFIGS if file.name == "mistral-7b.yaml")])
    assert (config.lora.r, config.lora.alpha, config.lora.dropout) == (16, 32, 0.05)
    assert config.lora.target_modules == Config().lora.target_modules
    assert (config.training.epochs, config.training.learning_rate, config.training.precision) == (3, 2e-4, "bf16")
    assert (config.training.batch_size, config.training.gradient_accumulation_steps) == (4, 4)
    assert config.quantization.load_in_4bit and config.quantization.double_quant


def test_later_files_win_over_earlier_ones_and_overrides_over_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "lora: {r: 4, alpha: 8}\nseed: 1\n")
    second = write(tmp_path / "b.yaml", "lora:\n  r: 8\n")
    config = load([first, second], ["lora.alpha=64"])
    assert (config.lora.r, config.lora.alpha, config.seed) == (8, 64, 1)


def test_an_override_of_one_end_of_a_range_keeps_the_other() -> None:
    space = load([], ["search.space.learning_rate.low=1e-5"]).search.space
    assert (space.learning_rate.low, space.learning_rate.high) == (1e-5, Config().search.space.learning_rate.high)


def test_scientific_notation_without_a_point_is_a_number(tmp_path: Path) -> None:
    assert load([write(tmp_path / "a.yaml", "training: {learning_rate: 2e-4}")]).training.learning_rate == 2e-4


BAD_OVERRIDES = {
    "lora.rr=3": "did you mean 'r'",
    "lorra.r=3": "did you mean 'lora'",
    "lora=3": "section of keys",
    "lora.r=two": "valid integer",
    "lora.r=0": "greater than or equal to 1",
    "training.batch_size=1.5": "valid integer",
    "training.precision=bf17": "'bf16'",
    "training.epochs=-1": "greater than 0",
    "model.name=3": "valid string",
    "search.space.learning_rate.low=1": "must be below high",
    "search.space.learning_rate.low=0": "above 0",
    "search.space.r=[]": "at least 1 item",
    "seed": "key.path=value",
    "=3": "key.path=value",
    "serve.port=70000": "less than or equal to 65535",
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_a_bad_override_is_one_message_that_names_the_place_and_the_cure(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([], [override])
    assert BAD_OVERRIDES[override] in str(caught.value)
    assert override.partition("=")[0].split(".")[-1] in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_FILES = {
    "lora: {r: 4, r: 8}": "duplicate key 'r'",
    "a: &a 1\nb: *a": "aliases",
    "lora: [1, 2]": "section of keys",
    "- 1\n- 2": "found list",
    "lora: {r: 4": "line",
    "model: !!python/object/apply:os.system ['true']": "line 1",
    "\ttabs: 1": "line 1",
    "just text": "found str",
    "training: {learning_rat: 1}": "did you mean 'learning_rate'",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_bad_file_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([write(tmp_path / "bad.yaml", text)])
    assert BAD_FILES[text] in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_a_missing_a_binary_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary.yaml", tmp_path / "huge.yaml"
    binary.write_bytes(b"\x00\xff\xfe")
    huge.write_text("# " + "x" * 2_000_000)
    for file in (tmp_path / "absent.yaml", binary, huge, tmp_path):
        with pytest.raises(ConfigError, match=file.name):
            load([file])


def test_settings_that_cannot_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision=bf16.*training\.use_gpu"):
        load([], ["training.precision=bf16", "training.use_gpu=false"])


@given(
    r=st.integers(1, 64),
    rate=st.floats(1e-6, 1, exclude_min=True),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
)
def test_a_dumped_configuration_loads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, r: int, rate: float, name: str
) -> None:
    base = Config()
    config = base.model_copy(
        update={
            "lora": base.lora.model_copy(update={"r": r}),
            "training": base.training.model_copy(update={"learning_rate": rate}),
            "model": base.model.model_copy(update={"name": name}),
        }
    )
    file = write(tmp_path_factory.mktemp("dump") / "config.yaml", dump(config))
    assert load([file]) == config
