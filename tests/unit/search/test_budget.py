"""When a search is over before all of its trials."""

from __future__ import annotations

import pytest

from t2s.config import load
from t2s.search import budget as budget_module
from t2s.search.budget import Budget

MakeBook = type(lambda: None)


def test_without_limits_nothing_is_ever_spent(make_book: MakeBook) -> None:
    budget = Budget(load(), make_book())
    assert not budget.stop_all() and not budget("tune-1", {})


def test_time_runs_out(make_book: MakeBook, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(budget_module.time, "monotonic", lambda: now[0])
    budget = Budget(load([], ["search.time_budget_s=60"]), make_book())
    now[0] = 159.0
    assert not budget.stop_all()
    now[0] = 160.0
    assert budget.stop_all() and "search.time_budget_s=60" in budget.spent()


def test_examples_of_all_trials_together_run_out(make_book: MakeBook) -> None:
    book = make_book()
    budget = Budget(load([], ["search.max_examples=100"]), book)
    for number, examples in ((1, 60.0), (2, 39.0)):
        book.ask()
        book.rung(number, 1, 8, {"eval_loss": 1.0, "examples": examples}, "")
    assert not budget.stop_all()
    book.rung(2, 2, 16, {"eval_loss": 1.0, "examples": 40.0}, "")
    assert budget.stop_all() and "search.max_examples=100" in budget.spent()
