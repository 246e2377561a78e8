"""What Ray Tune hears from the study and what the study hears from Ray Tune, without a running Tune."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from t2s.config import load
from t2s.search.book import Book
from t2s.search.schedulers import Asha, RuleScheduler
from t2s.search.searcher import StudySearcher
from t2s.search.space import default_setting

MakeBook = type(lambda: None)
LOSSES = (2.0, 1.5, 0.25)


def make(book: Book, again: tuple[int, ...] = (), over: bool = False, at_a_time: int = 8) -> Any:
    scheduler = RuleScheduler(Asha(3, 2), "asha", book)
    searcher = StudySearcher(
        book, 4, at_a_time, list(again), lambda: over, scheduler.why_stopped, scheduler.error_of
    )  # fmt: skip
    return searcher, scheduler


def result(rung: int, loss: float = 2.0) -> dict[str, Any]:
    found = {"rung": rung, "step": 8 * rung, "eval_loss": loss, "host": "host-0", "training_iteration": rung}
    return found | ({"eval_ex": 1 - loss} if rung == 3 else {})


def trial_of(number: int) -> Any:
    return SimpleNamespace(trial_id=f"tune-{number}", config={"number": number}, get_error=lambda: "bad\nKilled: 9")


def test_the_first_trial_is_the_configured_setting_then_known_ones_then_optunas(make_book: MakeBook) -> None:
    searcher, _ = make(make_book("search.known=[{learning_rate: 1e-3}]"))
    asked = [searcher.suggest(f"tune-{number}") for number in range(1, 5)]
    assert [each["number"] for each in asked] == [1, 2, 3, 4]
    default = default_setting(load())
    assert asked[0]["setting"] == default
    assert asked[1]["setting"] == default | {"learning_rate": 1e-3}
    assert searcher.suggest("tune-5") == Searcher.FINISHED


def test_no_more_trials_than_slots_and_none_after_the_budget(make_book: MakeBook) -> None:
    searcher, _ = make(make_book(), at_a_time=1)
    assert searcher.suggest("tune-1") and searcher.suggest("tune-2") is None
    searcher.on_trial_complete("tune-1", error=True)
    assert searcher.suggest("tune-2")["number"] == 2
    over, _ = make(make_book(again=True), over=True)
    assert over.suggest("tune-3") == Searcher.FINISHED


def test_a_trial_that_goes_through_is_finished_and_a_worse_one_is_stopped_by_name(make_book: MakeBook) -> None:
    book = make_book()
    searcher, scheduler = make(book)
    for number in (1, 2):
        searcher.suggest(f"tune-{number}")
    for rung, loss in enumerate(LOSSES, 1):
        assert scheduler.on_trial_result(None, trial_of(1), result(rung, loss)) == TrialScheduler.CONTINUE
        searcher.on_trial_result("tune-1", result(rung, loss))
    searcher.on_trial_complete("tune-1", result(3, LOSSES[-1]))
    assert scheduler.on_trial_result(None, trial_of(2), result(1, 9.0)) == TrialScheduler.STOP
    searcher.on_trial_complete("tune-2", result(1, 9.0))
    assert [(t.state, t.reason, t.rung) for t in book.trials()] == [("finished", "", 3), ("stopped", "asha", 1)]


def test_a_failed_trial_says_why_whether_it_told_so_or_died(make_book: MakeBook) -> None:
    book = make_book()
    searcher, scheduler = make(book)
    for number in (1, 2, 3):
        searcher.suggest(f"tune-{number}")
    told = {"failed": 1.0, "error": "step 3: the loss is nan", "rung": 1, "training_iteration": 1}
    searcher.on_trial_complete("tune-1", told)
    scheduler.on_trial_error(None, trial_of(2))
    searcher.on_trial_complete("tune-2", error=True)
    searcher.on_trial_complete("tune-3", error=True)
    assert [(trial.state, trial.error) for trial in book.trials()] == [
        ("failed", "step 3: the loss is nan"),
        ("failed", "Killed: 9"),
        ("failed", "the trial's process died"),
    ]


def test_a_resumed_search_decides_with_all_that_was_measured_before(make_book: MakeBook) -> None:
    searcher, scheduler = make(make_book())
    for number, loss in ((1, 1.0), (2, 1.1)):
        searcher.suggest(f"tune-{number}")
        scheduler.on_trial_result(None, trial_of(number), result(1, loss))
    searcher, scheduler = make(make_book(again=True), again=(1, 2))
    assert [searcher.suggest(f"new-{number}")["number"] for number in (1, 2, 3)] == [1, 2, 3]
    assert scheduler.on_trial_result(None, trial_of(3), result(1, 5.0)) == TrialScheduler.STOP
    # Trial 1 goes on from its first rung: its next one is compared with second rungs only.
    assert scheduler.on_trial_result(None, trial_of(1), result(2, 9.0)) == TrialScheduler.CONTINUE


def test_what_waits_at_the_same_rung_is_known_to_the_scheduler(make_book: MakeBook) -> None:
    searcher, scheduler = make(make_book())
    for number in (1, 2):
        searcher.suggest(f"tune-{number}")
    first = result(1, 3.0) | {"peers": [(2, 1.0)]}
    assert scheduler.on_trial_result(None, trial_of(1), first) == TrialScheduler.STOP


def test_examples_are_counted_where_a_result_does_not_say_them(make_book: MakeBook) -> None:
    book = make_book("training.batch_size=4", "training.gradient_accumulation_steps=2")
    searcher, _ = make(book)
    searcher.suggest("tune-1")
    searcher.on_trial_result("tune-1", result(1))
    assert book.trial(1).examples == 8 * 8
