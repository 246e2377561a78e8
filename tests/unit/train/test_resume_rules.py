"""Which run goes on, and with which settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t2s.config import load
from t2s.errors import ConfigError, DataError
from t2s.runtime import pin_paths
from t2s.track.files import write_run_files
from t2s.train.record import RESULT, check_record, identity, write_record
from t2s.train.resume import LAST, find_run, plan_resume


def begun(output_dir: Path, name: str = "mine", *settings: str) -> Path:
    """A run that began and was killed before its first step."""
    run_dir = output_dir / name
    run_dir.mkdir(parents=True)
    config = pin_paths(load([], [f"output_dir={output_dir}", *settings]))
    write_run_files(run_dir, config)
    write_record(run_dir, config, examples="e1", base="b1")
    return run_dir


def test_without_a_configuration_the_runs_own_is_used(tmp_path: Path) -> None:
    run_dir = begun(tmp_path, "mine", "training.learning_rate=3e-3", "lora.r=4")
    plan = plan_resume(str(run_dir), [], [])
    assert plan.config.training.learning_rate == 3e-3 and plan.config.lora.r == 4
    assert plan.run_dir == run_dir and plan.changed == [] and not plan.is_finished


def test_a_run_is_found_by_its_name_and_the_newest_unfinished_as_last(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        begun(tmp_path, name)
    (tmp_path / "c" / RESULT).write_text("{}")
    (tmp_path / "not a run").mkdir()
    assert find_run("a", tmp_path) == tmp_path / "a"
    assert find_run(LAST, tmp_path) == tmp_path / "b"
    assert plan_resume("c", [], [f"output_dir={tmp_path}"]).is_finished
    with pytest.raises(ConfigError, match=r"no such run.*did you mean 'mine'"):
        begun(tmp_path, "mine")
        find_run("mien", tmp_path)
    with pytest.raises(ConfigError, match="no unfinished training"):
        find_run(LAST, tmp_path / "empty")


def test_a_directory_that_is_no_training_is_refused(tmp_path: Path) -> None:
    (tmp_path / "search-1").mkdir()
    (tmp_path / "search-1" / "config.yaml").write_text("{}")
    with pytest.raises(ConfigError, match="holds no training that can go on"):
        find_run(str(tmp_path / "search-1"), tmp_path)


def test_other_settings_are_refused_field_by_field(tmp_path: Path) -> None:
    run_dir = begun(tmp_path)
    with pytest.raises(ConfigError) as raised:
        plan_resume(str(run_dir), [], ["training.learning_rate=0.01", "lora.r=4", "training.logging_steps=3"])
    lines = str(raised.value).splitlines()
    assert [line.split() for line in lines[1:-1]] == [
        ["lora.r", "16", "then,", "4", "now"],
        ["training.learning_rate", "0.0002", "then,", "0.01", "now"],
    ]
    assert "--resume" in lines[-1] and raised.value.exit_code == 2


def test_settings_that_do_not_make_the_numbers_may_change(tmp_path: Path) -> None:
    run_dir = begun(tmp_path)
    plan = plan_resume(str(run_dir), [], ["training.logging_steps=3", "ray.num_cpus=1", "tracking.experiment=other"])
    assert len(plan.changed) == 3 and "training.logging_steps  10 then, 3 now" in " ".join(plan.changed)


def test_the_workers_may_change_if_the_global_batch_stays(tmp_path: Path) -> None:
    run_dir = begun(tmp_path, "mine", "training.batch_size=8", "training.gradient_accumulation_steps=2")
    same = ["training.batch_size=4", "training.gradient_accumulation_steps=1", "training.num_workers=4"]
    assert plan_resume(str(run_dir), [], same).config.training.num_workers == 4
    with pytest.raises(ConfigError, match="the global batch  16 then, 8 now"):
        plan_resume(str(run_dir), [], [*same[:2], "training.num_workers=2"])


def test_a_config_that_was_edited_by_hand_is_another_one(tmp_path: Path) -> None:
    run_dir = begun(tmp_path)
    text = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(ConfigError, match="seed  0 then, 1 now"):
        plan_resume(str(run_dir), [], [])


def test_a_setting_that_a_later_version_added_does_not_stop_a_run(tmp_path: Path) -> None:
    run_dir = begun(tmp_path)
    record = json.loads((run_dir / "run.json").read_text())
    del record["settings"]["training.weight_decay"]
    (run_dir / "run.json").write_text(json.dumps(record))
    assert plan_resume(str(run_dir), [], []).changed == []
    with pytest.raises(ConfigError, match="weight_decay"):
        plan_resume(str(run_dir), [], ["training.weight_decay=0.5"])


@pytest.mark.parametrize(("examples", "base", "said"), [("e2", "b1", "the examples changed"), ("e1", "b2", "the base")])
def test_other_data_or_another_base_is_refused(tmp_path: Path, examples: str, base: str, said: str) -> None:
    run_dir = begun(tmp_path)
    check_record(run_dir, "e1", "b1")
    with pytest.raises(DataError, match=said):
        check_record(run_dir, examples, base)


def test_where_a_run_lies_is_not_part_of_what_it_is(tmp_path: Path) -> None:
    here, there = (identity(load([], [f"output_dir={tmp_path / name}"])) for name in ("here", "there"))
    assert here == there
