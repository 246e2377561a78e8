import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.config import load
from t2s.errors import ConfigError
from t2s.search.space import apply_setting, as_overrides, default_setting, define_space, trial_config


def test_the_configured_setting_is_in_the_space_even_if_the_choices_leave_it_out() -> None:
    config = load([], ["search.space.r=[4]", "lora.r=12", "training.learning_rate=1e-5"])
    study = optuna.create_study()
    study.enqueue_trial(default_setting(config))
    trial = study.ask()
    define_space(config)(trial)
    assert trial.params == {"r": 12, "alpha_over_r": 32 / 12, "learning_rate": 1e-5}


def test_a_setting_and_its_overrides_make_the_same_configuration(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import yaml

    config = load()
    setting = {"r": 8, "alpha_over_r": 4.0, "learning_rate": 3e-3}
    file = tmp_path / "best.yaml"
    file.write_text(yaml.safe_dump(as_overrides(setting)))
    assert load([file]) == apply_setting(config, setting)


@given(
    batch=st.integers(1, 8),
    passes=st.integers(1, 8),
    workers=st.integers(1, 4),
    rungs=st.integers(1, 5),
    examples=st.integers(1, 2000),
)
def test_a_trial_keeps_the_global_batch_and_validates_once_a_rung(
    batch: int, passes: int, workers: int, rungs: int, examples: int
) -> None:
    config = load(
        [],
        [
            f"training.batch_size={batch}",
            f"training.gradient_accumulation_steps={passes}",
            f"training.num_workers={workers}",
            f"search.rungs={rungs}",
        ],
    )
    short = trial_config(config, default_setting(config), examples).training
    assert short.batch_size * short.gradient_accumulation_steps * short.num_workers == batch * passes * workers
    assert short.eval_steps is not None and short.max_steps == rungs * short.eval_steps


def test_workers_that_cannot_share_the_batch_are_refused() -> None:
    settings = ["training.batch_size=4", "training.gradient_accumulation_steps=1", "search.num_workers=3"]
    with pytest.raises(ConfigError, match=r"search\.num_workers=3"):
        load([], settings)
