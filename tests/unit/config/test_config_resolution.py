from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from t2s.config import Config, dump, load
from t2s.config.docs import reference
from t2s.config.resolve import field_paths
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


def test_a_fault_of_the_second_file_is_named_with_its_own_line(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "lora: {r: 4}\n")
    second = write(tmp_path / "b.yaml", "seed: 1\nlora:\n  r: none\n")
    with pytest.raises(ConfigError, match=r"^\S*b\.yaml:3: lora\.r: should be a valid integer, found 'none'$"):
        load([first, second])


def test_two_places_of_one_impossible_pair_are_both_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "seed: 1\ntraining:\n  use_gpu: false\n")
    with pytest.raises(ConfigError, match=r"^training\.precision=bf16, \S*a\.yaml:3: training\.precision=bf16 needs"):
        load([file], ["training.precision=bf16"])


QUICKSTART = next(file for file in CONFIGS if file.name == "quickstart.yaml")


def test_another_pipeline_does_not_inherit_options_and_path_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = write(tmp_path / "mine.yaml", "data: {pipeline: jsonl, path: here}\n")
    assert load([QUICKSTART]).data.options == {"num_train": 2000, "num_val": 200, "num_test": 200}
    assert not caplog.records
    data = load([mine, QUICKSTART], ["data.pipeline=wikisql"]).data
    assert (data.pipeline, data.options, data.path) == ("wikisql", {}, None)
    first, second = (record.getMessage() for record in caplog.records)
    assert "quickstart.yaml" in first and "'jsonl'" in first and "data.path" in first and "mine.yaml:1" in first
    assert "data.pipeline=wikisql" in second and "'synthetic'" in second and "data.options.num_train" in second


@pytest.mark.parametrize("order", [1, -1])
def test_overrides_are_one_layer_in_any_order(order: int) -> None:
    overrides = ["data.pipeline=jsonl", "data.path=here", "data.options.x=1"][::order]
    data = load([QUICKSTART], overrides).data
    assert (data.path, data.options) == (Path("here"), {"x": 1})


def test_the_same_pipeline_again_keeps_its_options(caplog: pytest.LogCaptureFixture) -> None:
    assert load([QUICKSTART], ["data.pipeline=synthetic", "data.options.num_val=9"]).data.options == {
        "num_train": 2000,
        "num_val": 9,
        "num_test": 200,
    }
    assert not caplog.records


def test_an_empty_mapping_clears_a_free_one_and_leaves_a_section() -> None:
    assert load([QUICKSTART], ["data.options={}"]).data.options == {}
    assert load([], ["serve.databases.a=a.db", "serve.databases={}"]).serve.databases == {}
    assert load([QUICKSTART], ["lora={}"]).lora == load([QUICKSTART]).lora


def test_the_reference_page_is_what_the_schema_generates() -> None:
    page = CONFIGS[0].parents[1] / "docs" / "configuration.md"
    assert page.read_text("utf-8") == reference(), "run: t2s config docs > docs/configuration.md"


def test_every_setting_is_explained_in_the_reference() -> None:
    page = reference()
    for path in field_paths(Config):
        row = next((line for line in page.splitlines() if line.startswith(f"| `{path}` |")), f"## `{path}`")
        assert row.startswith("## ") or row.rstrip("| ").rpartition("|")[2].strip(), f"{path} has no docstring"
        assert row in page


def test_settings_that_cannot_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision=bf16.*training\.use_gpu"):
        load([], ["training.precision=bf16", "training.use_gpu=false"])


@given(
    r=st.integers(1, 64),
    rate=st.floats(1e-6, 1, exclude_min=True),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
)
@example(r=1, rate=1.0, name="0e0")
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
