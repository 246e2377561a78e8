"""What may change between two runs of one pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_pipeline import config_of, make_state

from t2s.errors import ConfigError
from t2s.pipeline.settings import check_stage, refuse_changes, settings_of
from t2s.pipeline.state import NAMES, Flags


@pytest.mark.parametrize(
    ("word", "stage", "told"),
    [
        ("search.num_trials=9", "search", "search.num_trials 8 then, 9 now"),
        ("lora.r=4", "search", "lora.r 16 then, 4 now"),
        ("seed=1", "search", "seed 0 then, 1 now"),
        ("model.name=other/base", "search", "model.name"),
        ("tracking.registered_model=b", "promote", 'tracking.registered_model "t2s" then, "b" now'),
        ("serve.max_rows=7", "deploy", "serve.max_rows 100 then, 7 now"),
    ],
)
def test_the_first_stage_that_a_change_touches_is_named_on_one_line(
    tmp_path: Path, word: str, stage: str, told: str
) -> None:
    state = make_state(tmp_path)
    with pytest.raises(ConfigError) as refused:
        refuse_changes("p", state.stages, config_of(tmp_path, word), Flags())
    said = str(refused.value)
    assert f"pipeline p: {stage} was done with other settings" in said and told in said
    assert said.endswith(f"--from {stage}") and "\n" not in said


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["training.save_steps=3", "training.report_to=none", "search.slots=2", "inference.batch_size=2"],
        ["ray.num_cpus=3", "tracking.experiment=other", "data.cache_dir=/elsewhere"],
    ],
)
def test_where_and_how_it_is_worked_may_change(tmp_path: Path, words: list[str]) -> None:
    refuse_changes("p", make_state(tmp_path).stages, config_of(tmp_path, *words), Flags())


def test_a_change_that_touches_only_what_is_not_done_is_taken(tmp_path: Path) -> None:
    refuse_changes("p", make_state(tmp_path, done=4).stages, config_of(tmp_path, "serve.port=8001"), Flags())


def test_files_that_a_job_finds_elsewhere_are_the_same_files(tmp_path: Path) -> None:
    one, other = (config_of(tmp_path, f"data.path={root}/corpus") for root in ("/tmp/a", "/tmp/b"))
    assert settings_of("train", one, Flags()) == settings_of("train", other, Flags())
    third = config_of(tmp_path, "data.path=/tmp/a/another")
    assert settings_of("train", one, Flags()) != settings_of("train", third, Flags())


def test_flags_count_where_they_change_a_result(tmp_path: Path) -> None:
    stages = make_state(tmp_path).stages
    with pytest.raises(ConfigError, match="evaluate was done with other settings: --max-samples null then, 4 now"):
        refuse_changes("p", stages, config_of(tmp_path), Flags(max_samples=4))
    with pytest.raises(ConfigError, match="train was done with other settings: --no-search false then, true now"):
        refuse_changes("p", stages, config_of(tmp_path), Flags(search=False))
    refuse_changes("p", stages, config_of(tmp_path), Flags(deploy=False))


def test_a_password_is_in_no_record(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, "tracking.uri=postgresql://me:hunter2hunter2@db/mlflow", "data.options={api_key: hunter2}"
    )
    told = " ".join(str(settings_of(name, config, Flags())) for name in NAMES)
    assert "hunter2" not in told


def test_a_stage_that_is_none_is_refused_with_the_nearest() -> None:
    assert check_stage("promote") == "promote"
    with pytest.raises(ConfigError, match="did you mean 'evaluate'"):
        check_stage("evalute")
