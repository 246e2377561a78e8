"""The space of a search: what may be proposed, and what a proposal makes of a configuration."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import Config, load
from t2s.errors import ConfigError, SetupError
from t2s.model.base import BaseFiles, find_base
from t2s.search.setting import NAMES, configured
from t2s.search.space import (
    Setting,
    apply_setting,
    as_overrides,
    check_space,
    default_setting,
    define_space,
    enqueue,
    known_settings,
    space_difference,
    space_fingerprint,
    trial_config,
)

EVERYTHING = [
    "search.space.dropout={low: 0.0, high: 0.2}",
    "search.space.target_modules=[[q_proj, v_proj], all-linear]",
    "search.space.warmup_ratio={low: 0.0, high: 0.1}",
    "search.space.weight_decay={low: 0.0, high: 0.1}",
    "search.space.global_batch=[8, 32]",
    "search.space.init=[gaussian, default]",
    "search.space.lr_scheduler=[linear]",
]
SPACES = st.lists(st.sampled_from(EVERYTHING), unique=True).map(
    lambda more: load([], [*more, "search.max_train_samples=512"])
)

SPACINGS = st.sampled_from(["even", "geometric"])


def drawn(config: Config, seed: int) -> Setting:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return define_space(config)(study.ask())


def test_the_configured_setting_is_in_the_space_even_if_the_choices_leave_it_out() -> None:
    config = load([], ["search.space.r=[4]", "lora.r=12", "training.learning_rate=1e-5"])
    study = optuna.create_study()
    enqueue(study, config)
    setting = define_space(config)(study.ask())
    assert setting == default_setting(config) == {"r": 12, "alpha_over_r": 32 / 12, "learning_rate": 1e-5}


@given(SPACES)
def test_the_configured_setting_comes_first_and_changes_nothing(config: Config) -> None:
    study = optuna.create_study()
    enqueue(study, config)
    first = define_space(config)(study.ask())
    assert first == default_setting(config)
    assert apply_setting(config, first) == config


@given(SPACES, st.integers(0, 99))
def test_a_drawn_setting_is_a_valid_configuration_that_says_the_same(config: Config, seed: int) -> None:
    setting = drawn(config, seed)
    assert list(setting) == [name for name in NAMES if getattr(config.search.space, name) is not None]
    applied = apply_setting(config, setting)
    assert Config.model_validate(applied.model_dump()) == applied
    assert {name: configured(applied)[name] for name in setting} == pytest.approx(setting)


def test_the_overrides_of_a_setting_are_a_file_for_the_next_training(tmp_path: Path) -> None:
    config = load([], EVERYTHING)
    setting = drawn(config, 3) | {"target_modules": "q_proj+v_proj", "global_batch": 32}
    file = tmp_path / "best.yaml"
    file.write_text(yaml.safe_dump(as_overrides(config, setting)))
    assert load([file], EVERYTHING) == apply_setting(config, setting)


@given(
    batch=st.integers(1, 8),
    passes=st.integers(1, 8),
    workers=st.integers(1, 4),
    rungs=st.integers(1, 5),
    spacing=SPACINGS,
    examples=st.integers(1, 2000),
)
def test_a_trial_keeps_the_global_batch_and_is_measured_once_a_rung(
    batch: int, passes: int, workers: int, rungs: int, spacing: str, examples: int
) -> None:
    words = [f"training.batch_size={batch}", f"training.gradient_accumulation_steps={passes}"]
    ladder = [f"search.rungs={rungs}", f"search.rung_spacing={spacing}"]
    config = load([], [*words, f"training.num_workers={workers}", *ladder])
    short = trial_config(config, default_setting(config), examples).training
    assert short.batch_size * short.gradient_accumulation_steps * short.num_workers == batch * passes * workers
    assert isinstance(short.eval_steps, list) and len(short.eval_steps) == rungs
    assert short.measured_after(short.max_steps) == short.eval_steps == sorted(set(short.eval_steps))
    if spacing == "even":
        assert short.eval_steps == [short.eval_steps[0] * rung for rung in range(1, rungs + 1)]


@given(reduction=st.integers(2, 5), rungs=st.integers(1, 5), batch=st.sampled_from([1, 4, 8]), more=st.integers(0, 99))
def test_geometric_rungs_end_at_fractions_of_all_examples(reduction: int, rungs: int, batch: int, more: int) -> None:
    words = [f"search.reduction_factor={reduction}", f"search.rungs={rungs}", f"training.batch_size={batch}"]
    config = load([], [*words, "training.gradient_accumulation_steps=1"])
    examples = rungs * batch * reduction ** (rungs - 1) + more  # the first rung holds a batch a rung
    ends = trial_config(config, default_setting(config), examples).training.eval_steps
    assert isinstance(ends, list)
    for above, end in enumerate(reversed(ends)):
        wanted = examples / reduction**above
        assert wanted - batch < end * batch <= wanted, "never more, and less by less than a batch"


@given(
    batches=st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]), min_size=1, max_size=4, unique=True),
    micro=st.integers(1, 8),
    rungs=st.integers(1, 4),
    spacing=SPACINGS,
    more=st.integers(0, 200),
)
def test_a_rung_is_the_same_number_of_examples_for_every_global_batch(
    batches: list[int], micro: int, rungs: int, spacing: str, more: int
) -> None:
    ladder = [f"search.rungs={rungs}", f"search.rung_spacing={spacing}"]
    words = [f"search.space.global_batch={batches}", *ladder, "training.batch_size=4"]
    config = load([], [*words, f"training.batch_size={micro}", "training.gradient_accumulation_steps=3"])
    examples = rungs * 24 * micro + more  # every batch here, and the configured one, divides 24 × micro
    rung_ends = set()
    for batch in {*batches, 3 * micro}:
        short = trial_config(config, default_setting(config) | {"global_batch": batch}, examples).training
        assert short.batch_size <= micro and short.batch_size * short.gradient_accumulation_steps == batch
        assert isinstance(short.eval_steps, list) and short.max_steps == short.eval_steps[-1]
        rung_ends.add(tuple(batch * steps for steps in short.eval_steps))
    assert len(rung_ends) == 1 and rung_ends.pop()[-1] <= examples


def test_batches_that_no_rung_holds_whole_are_refused() -> None:
    config = load([], ["search.space.global_batch=[7, 11, 13]"])
    with pytest.raises(ConfigError, match=r"a rung of 170 examples .* take 16016: raise search\.max_train_samples"):
        trial_config(config, default_setting(config), 512)


def test_known_settings_come_second_each_once_and_widen_the_space() -> None:
    known = "search.known=[{r: 64, learning_rate: 2e-2}, {r: 16}, {alpha_over_r: 8.0}]"
    config = load([], [known])
    default = default_setting(config)
    expected = [default, default | {"r": 64, "learning_rate": 2e-2}, default | {"alpha_over_r": 8.0}]
    assert known_settings(config) == expected  # {r: 16} is the configured setting
    study = optuna.create_study()
    enqueue(study, config)
    space = define_space(config)
    assert [space(study.ask()) for _ in range(3)] == expected
    assert space.dimensions["r"] == (8, 16, 32, 64)


def test_the_same_layers_in_another_order_are_one_choice() -> None:
    config = load([], ["lora.target_modules=[v_proj, q_proj]", "search.space.target_modules=[[q_proj, v_proj]]"])
    assert define_space(config).dimensions["target_modules"] == ("v_proj+q_proj",)


def test_a_space_survives_being_pickled() -> None:
    config = load([], EVERYTHING)
    space = pickle.loads(pickle.dumps(define_space(config)))
    assert space == define_space(config)


FUNCTION = """
def space(trial):
    r = 2 ** trial.suggest_int("log2_r", 2, 4)
    setting = {"r": r, "alpha_over_r": 1.0 if r > 8 else trial.suggest_float("alpha_over_r", 1, 4)}
    few = trial.suggest_categorical("few", [True, False])
    return setting | {"target_modules": ["q_proj", "v_proj"] if few else "all-linear"}
def constant(trial):
    return {"r": 16, "alpha_over_r": 2.0}
def unknown(trial):
    return {"rank": trial.suggest_int("rank", 1, 8)}
def negative(trial):
    return {"r": -trial.suggest_int("r", 1, 8)}
def nothing(trial):
    trial.suggest_int("r", 1, 8)
def breaks(trial):
    return {"r": 1 // 0}
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FUNCTION)
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_function_draws_under_its_own_names_and_the_configured_setting_still_comes_first(own_module: str) -> None:
    config = load([], [f"search.space.function={own_module}:space", "search.known=[{r: 4}]"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    enqueue(study, config)
    space = pickle.loads(pickle.dumps(define_space(config)))
    settings = [space(study.ask()) for _ in range(12)]
    default = default_setting(config)
    assert default.keys() == {"r", "alpha_over_r", "target_modules"}
    assert settings[:2] == [default, default | {"r": 4}]
    assert {setting["target_modules"] for setting in settings[2:]} == {"q_proj+v_proj", "all-linear"}
    assert all(setting["r"] in (4, 8, 16) for setting in settings)
    assert all(apply_setting(config, setting).lora.r == setting["r"] for setting in settings)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    """Of hidden size 64."""
    from tiny_model import save_tiny_model

    directory = save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return find_base(load([], [f"model.name={directory}"]).model)


def test_a_usual_space_is_accepted(base: BaseFiles) -> None:
    check_space(load([], ["search.space.dropout={low: 0.0, high: 0.1}", "quantization.load_in_4bit=false"]), base)


SINGLE = ["search.space.alpha_over_r=null", "search.space.learning_rate=null"]
REFUSED = {
    "single point": ([*SINGLE, "search.space.r=[16]"], r"a single point, the configured one \(r=16\)"),
    "nothing varied": ([*SINGLE, "search.space.r=null"], "nothing is varied"),
    "rank": (["search.space.r=[8, 512]"], r"r=512 is above \d+, the hidden size"),
    "layers": (["search.space.target_modules=[[q_prj]]"], "did you mean 'q_proj'"),
    "dora": (["lora.use_dora=true"], r"lora\.use_dora=true needs search\.mode=workers"),
    "pissa": (["search.space.init=[pissa]", "quantization.load_in_4bit=false"], "init=pissa needs search"),
    "olora": (["lora.init=olora", "quantization.load_in_4bit=false"], r"init=olora needs search\.mode=workers"),
    "orthogonal": (
        ["search.space.init=[orthogonal]", "search.space.r=[7]", "quantization.load_in_4bit=false"], "even ranks"
    ),
    "four bits": (["search.space.init=[pissa]", "search.mode=workers"], r"set quantization\.load_in_4bit=false"),
    "workers": (["search.space.global_batch=[9]", "training.num_workers=2"], "2 workers cannot share it"),
    "sampler": (["search.sampler=tpee"], r"search\.sampler: unknown sampler 'tpee' \(did you mean 'tpe'"),
    "option": (["search.sampler_options={n_start: 3}"], r"search\.sampler_options\.n_start: TPESampler has no such"),
    "option type": (["search.sampler_options={n_startup_trials: few}"], r"search\.sampler=tpe: does not draw"),
    "grid": (["search.sampler=GridSampler"], "GridSampler refuses"),
    "brute force": (["search.sampler=BruteForceSampler"], "does not draw from this space"),
    "no module": (["search.space.function=absent_module:f"], "no module 'absent_module'"),
    "no function": (["search.space.function=math:flor"], "did you mean 'floor'"),
    "function": (["search.space.function={own}:constant"], "a single point"),
    "unknown name": (["search.space.function={own}:unknown"], "returns unknown 'rank'"),
    "bad value": (["search.space.function={own}:negative"], r"returns r=-\d: Input should be greater"),
    "no mapping": (["search.space.function={own}:nothing"], "returns None, expected a mapping"),
    "raises": (["search.space.function={own}:breaks"], "raises ZeroDivisionError"),
    "broken module": (["search.space.function={own}_broken:f"], "no module 'nothing_of_this_name'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_refused_in_one_line(case: str, base: BaseFiles, own_module: str) -> None:
    words, said = REFUSED[case]
    config = load([], [word.replace("{own}", own_module) for word in words])
    with pytest.raises(ConfigError, match=said) as refused:
        check_space(config, base)
    assert "\n" not in str(refused.value)


def test_a_sampler_whose_package_is_missing_says_so(base: BaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)  # as where it is not installed
    with pytest.raises(SetupError, match="CmaEsSampler: needs a package that is missing"):
        check_space(load([], ["search.sampler=CmaEsSampler"]), base)


def test_two_searches_differ_by_space_data_and_ladder_and_not_by_budget_place_or_tracking() -> None:
    ours = space_fingerprint(load())
    same = ["search.num_trials=99", "search.slots=2", "output_dir=elsewhere", "search.time_budget_s=60", "serve.port=1"]
    assert space_difference(ours, space_fingerprint(load([], same))) == []
    for word in ("search.space.r=[8]", "seed=1", "search.rungs=2", "lora.alpha=8", "data.pipeline=synthetic"):
        key = word.partition("=")[0]
        lines = space_difference(ours, space_fingerprint(load([], [word])))
        assert len(lines) == 1 and lines[0].startswith(key) and "then" in lines[0]
    assert json.loads(ours)


def test_workers_that_cannot_share_the_batch_are_refused() -> None:
    words = ["training.batch_size=4", "training.gradient_accumulation_steps=1", "search.num_workers=3"]
    with pytest.raises(ConfigError, match=r"search\.num_workers=3"):
        load([], [*words, "search.mode=workers"])
