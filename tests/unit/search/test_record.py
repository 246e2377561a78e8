"""Trials as data: what is told to the study is read from its file by anybody, once, under numbers 1 to n."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from t2s.config import load
from t2s.errors import ConfigError, SetupError
from t2s.search.book import Book
from t2s.search.ladder import PENALTY, Ladder
from t2s.search.record import STUDY, SUMMARY, open_storage, read_trials

MakeBook = type(lambda: None)
LOW = {"eval_loss": 2.0, "examples": 16.0, "cpu_s": 1.5, "wall_s": 2.0}
LAST = {"eval_loss": 0.5, "eval_ex": 0.75, "examples": 48.0, "cpu_s": 4.5, "wall_s": 6.0, "adapter_parameters": 10.0}


def tell(book: Book, number: int, rungs: int) -> None:
    for rung in range(1, rungs + 1):
        book.rung(number, rung, 8 * rung, LAST if rung == 3 else LOW, "host-0")


def test_what_was_told_is_read_from_the_file(make_book: MakeBook, tmp_path: Path) -> None:
    book = make_book()
    for _ in range(4):
        book.ask()
    tell(book, 1, 3)
    book.end(1, "finished")
    tell(book, 2, 1)
    book.end(2, "stopped", reason="asha")
    book.end(3, "failed", error="the loss is nan")
    book.write(best=1)
    trials = read_trials(tmp_path)
    assert trials == book.trials()
    assert [(t.number, t.state, t.rung) for t in trials] == [
        (1, "finished", 3), (2, "stopped", 1), (3, "failed", 0), (4, "running", 0),
    ]  # fmt: skip
    assert (trials[0].loss, trials[0].ex, trials[0].cpu_s, trials[0].examples) == (0.5, 0.75, 4.5, 48)
    assert (trials[1].reason, trials[2].error, trials[0].host) == ("asha", "the loss is nan", "host-0")
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert summary["best"] == 1 and summary["cost"] == {"wall_s": 8.0, "cpu_s": 6.0, "examples": 64.0}


def test_optuna_is_told_who_was_stopped_and_who_failed_and_never_a_low_rungs_value_as_a_result(
    make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book()
    for _ in range(3):
        book.ask()
    tell(book, 1, 3)
    book.end(1, "finished")
    tell(book, 2, 2)
    book.end(2, "stopped")
    book.end(3, "failed")
    first, second, third = optuna.load_study(study_name=None, storage=open_storage(tmp_path)).trials
    assert (first.state.name, first.value) == ("COMPLETE", 0.25)  # the share of wrong answers
    assert first.intermediate_values == {1: 2.0, 2: 2.0, 3: 0.25}
    assert (second.state.name, second.intermediate_values) == ("PRUNED", {1: 2.0, 2: 2.0})
    assert (third.state.name, third.value) == ("FAIL", None)


def test_a_rung_that_is_told_twice_stands_once_and_an_end_stays(make_book: MakeBook) -> None:
    book = make_book()
    book.ask()
    tell(book, 1, 2)
    tell(book, 1, 2)
    assert [each.rung for each in book.trial(1).rungs] == [1, 2]
    book.end(1, "stopped", reason="asha")
    book.end(1, "failed", error="too late")
    tell(book, 1, 3)
    assert (book.trial(1).state, book.trial(1).rung, book.trial(1).error) == ("stopped", 2, "")


def test_a_measurement_that_is_no_number_is_a_finite_penalty(make_book: MakeBook, tmp_path: Path) -> None:
    book = make_book()
    book.ask()
    book.rung(1, 1, 8, {"eval_loss": float("nan")}, "")
    (trial,) = optuna.load_study(study_name=None, storage=open_storage(tmp_path)).get_trials(
        states=[optuna.trial.TrialState.RUNNING]
    )
    assert trial.intermediate_values == {1: PENALTY}


def test_a_setting_that_diverges_is_failed_for_us_and_the_worst_of_its_rung_for_optuna(
    make_book: MakeBook, tmp_path: Path
) -> None:
    book = make_book()
    book.ask()
    tell(book, 1, 1)
    book.end(1, "failed", error="step 9: the loss is nan", diverged_at=2)
    (trial,) = optuna.load_study(study_name=None, storage=open_storage(tmp_path)).get_trials(
        states=[optuna.trial.TrialState.PRUNED]
    )
    assert trial.intermediate_values == {1: 2.0, 2: PENALTY}
    assert [(each.state, each.rung) for each in read_trials(tmp_path)] == [("failed", 1)]


def test_several_objectives_end_in_a_pareto_set(make_book: MakeBook) -> None:
    book = make_book("search.objectives=[quality, adapter_size]")
    for number, (ex, size) in enumerate([(0.5, 10.0), (0.6, 20.0), (0.4, 20.0)], 1):
        book.ask()
        tell(book, number, 2)
        book.rung(number, 3, 24, LAST | {"eval_ex": ex, "adapter_parameters": size}, "")
        book.end(number, "finished")
    book.ask()
    tell(book, 4, 1)
    book.end(4, "stopped")
    assert sorted(book.pareto()) == [1, 2]


def test_a_study_name_in_use_is_refused(make_book: MakeBook) -> None:
    make_book()
    with pytest.raises(ConfigError, match="is in use"):
        make_book()


def test_a_directory_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no search"):
        read_trials(tmp_path)


ASK_FOR_EVER = """
import sys
from pathlib import Path
from t2s.config import load
from t2s.search.book import Book
from t2s.search.ladder import Ladder
config = load([], ["search.rungs=3"])
book = Book.open(Path(sys.argv[1]), config, Ladder.of(config, True), {})
while True:
    trial = book.ask()
    print(trial.number, flush=True)
    book.rung(trial.number, 1, 8, {"eval_loss": 1.0}, "here")
    if trial.number % 2:
        book.end(trial.number, "stopped", reason="asha")
"""


def test_a_killed_process_leaves_a_study_that_goes_on_with_every_number(make_book: MakeBook, tmp_path: Path) -> None:
    make_book()
    process = subprocess.Popen([sys.executable, "-c", ASK_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    book = make_book(again=True)
    trials = book.trials()
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1)) and len(trials) >= 5
    for number in [trial.number for trial in trials if trial.state == "running"]:
        assert set(book.again(number).setting) == {"r", "alpha_over_r", "learning_rate"}
    assert book.ask().number == len(trials) + 1
    assert optuna.load_study(study_name=None, storage=open_storage(tmp_path)).user_attrs["ready"] is True


def test_a_setting_that_was_just_being_drawn_is_completed_under_its_number(make_book: MakeBook, tmp_path: Path) -> None:
    book = make_book()
    book.ask()
    asked = book._study.ask()
    asked.suggest_categorical("r", (8, 16, 32))
    found = make_book(again=True).again(2)
    assert found.number == 2 and found.setting["r"] == asked.params["r"] and len(found.setting) == 3


def test_a_resumed_search_does_not_draw_the_same_points_again(make_book: MakeBook) -> None:
    first = make_book("search.sampler=random")
    drawn = [first.ask().setting["learning_rate"] for _ in range(4)]
    again = make_book("search.sampler=random", again=True)
    assert not {again.ask().setting["learning_rate"] for _ in range(4)} & set(drawn)


def test_a_small_space_is_not_drawn_twice_before_it_is_used_up(make_book: MakeBook) -> None:
    book = make_book(
        "search.space={r: [8, 16, 32], alpha_over_r: [1.0, 2.0], learning_rate: null}", "lora.alpha=32", "lora.r=16"
    )
    settings = []
    for number in range(1, 6):
        settings.append(book.ask().setting)
        tell(book, number, 3)
        book.end(number, "finished")
    assert [settings.count(setting) for setting in settings] == [1] * 5
    assert [trial.number for trial in book.trials()] == [1, 2, 3, 4, 5]


def test_a_full_disk_says_what_to_do(make_book: MakeBook, tmp_path: Path) -> None:
    import resource

    book = make_book()
    book.ask()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / STUDY).stat().st_size, limits[1]))
    try:
        with pytest.raises(SetupError, match=r"cannot write the study.*--resume"):
            for rung in range(1, 200):
                book.rung(1, rung, rung, LOW | {f"metric_{rung}": 1.0}, "x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert isinstance(book.fault, SetupError)


def test_the_ladder_ranks_by_loss_where_there_are_no_rows(make_book: MakeBook, tmp_path: Path) -> None:
    config = load([], ["search.rungs=2"])
    book = Book.create(tmp_path, config, Ladder.of(config, has_rows=False), {})
    book.ask()
    book.rung(1, 1, 8, LOW, "")
    book.rung(1, 2, 16, {"eval_loss": 0.25}, "")
    book.end(1, "finished")
    assert optuna.load_study(study_name=None, storage=open_storage(tmp_path)).trials[0].value == 0.25
