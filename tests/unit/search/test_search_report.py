"""``report.html``: complete, offline, and safe to open whatever a setting or an error says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from searched import make_search

from t2s.search.plots import lanes
from t2s.search.record import STUDY, RungRecord, Trial
from t2s.search.report import write_report

CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">\x1b[31m"


class Page(HTMLParser):
    """Its elements, its visible text, and the figures' data."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.figures: list[Any] = []
        self._inside: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs) if tag == "script" else {}

    def handle_endtag(self, tag: str) -> None:
        self._inside = {}

    def handle_data(self, data: str) -> None:
        if self._inside.get("type") == "application/json":
            self.figures.append(json.loads(data))
        elif not self._inside:
            self.text += data


def report_of(folder: Path, **options: Any) -> str:
    book = make_search(folder, **options)
    return write_report(folder, book.trials(), folder / STUDY).read_text("utf-8")


def test_a_report_has_the_trials_their_cost_and_every_figure(tmp_path: Path) -> None:
    book = make_search(tmp_path / "six", error="the loss is no number")
    finalist = {"number": 1, "loss": 0.5, "accuracies": [], "against_default": None, "ex": None}
    asked = [{"eval_ex": 0.5, "eval_ex_low": 0.4, "eval_ex_high": 0.6, "eval_ex_n": 100.0}]
    pair = {"difference": 0.02, "low": -0.01, "high": 0.05, "p_value": 0.25, "n": 100}
    better = finalist | {"number": 6, "accuracies": asked, "against_default": pair}
    book.write(best=6, finalists=[better, finalist])
    html = write_report(tmp_path / "six", book.trials(), tmp_path / "six" / STUDY).read_text("utf-8")
    page = Page(html)
    for said in ("winner: trial 6", "50.0% (40.0 to 60.0)", "+2.0 (-1.0 to +5.0), p = 0.25", "stopped: asha"):
        assert said in page.text
    assert "failed: the loss is no number" in page.text
    assert "704 examples, 22 CPU seconds" in page.text  # five trials of two rungs, one of one
    titles = ["History", "Validation loss by rung", "Execution accuracy by rung", "Parallel coordinates"]
    assert all(title in page.text for title in [*titles, "Importances", "Timeline of slots"])
    assert len(page.figures) == 6 and all(figure["data"] for figure in page.figures)
    history = next(trace for trace in page.figures[0]["data"] if trace["mode"] == "markers")
    assert history["x"] == [1, 4, 5, 6]  # as people count, and only what finished


def test_a_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    html = report_of(tmp_path / "six")
    page = Page(html)
    assert not [tag for tag, attributes in page.tags if {"src", "href"} & attributes.keys()]
    policy = next(dict(attributes)["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    runs = [attributes for tag, attributes in page.tags if tag == "script" and "type" not in attributes]
    assert len(runs) == 2 and all(f"'nonce-{attributes['nonce']}'" in policy for attributes in runs)
    assert html.count("plotly.js v") == 1


@pytest.fixture
def hostile_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of a search whose settings and errors are markup; it lies in ``tmp_path/bad``."""
    function = tmp_path / "hostile_space.py"
    function.write_text(
        "def space(trial):\n    trial.suggest_float('x', 0, 1)\n"
        f"    return {{'target_modules': [{HOSTILE!r}], 'r': 8}}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return report_of(tmp_path / "bad", overrides=["search.space.function=hostile_space:space"], error=HOSTILE)


def test_a_hostile_setting_or_error_stays_text(hostile_report: str) -> None:
    page = Page(hostile_report)
    assert "</script><script>document.title" in page.text and "\x1b" not in hostile_report
    assert sum(tag == "script" for tag, _ in page.tags) == 2 + len(page.figures)
    assert not [tag for tag, _ in page.tags if tag == "img"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is parsed, not opened")
def test_a_browser_draws_the_figures_and_runs_nothing_hostile(tmp_path: Path, hostile_report: str) -> None:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    opened = subprocess.run(
        [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         (tmp_path / "bad" / "report.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "<title>bad · search</title>" in opened.stdout  # not "ran"
    assert 'class="main-svg"' in opened.stdout  # the figures were drawn


@pytest.mark.parametrize("num_trials", [0, 1, 2])
def test_a_search_of_few_trials_has_a_report_with_sentences_where_figures_cannot_be(
    tmp_path: Path, num_trials: int
) -> None:
    page = Page(report_of(tmp_path / "few", num_trials=num_trials))
    assert "finished trials that an estimate needs at least" in page.text
    assert ("No trial has finished." in page.text) == (num_trials == 0)
    assert "Optuna cannot draw this" not in page.text


def test_several_objectives_end_in_a_pareto_table(tmp_path: Path) -> None:
    words = ["search.objectives=[quality, adapter_size, latency]"]
    book = make_search(tmp_path / "pareto", words)
    book.write(best=6, pareto=book.pareto())
    page = Page(write_report(tmp_path / "pareto", book.trials(), tmp_path / "pareto" / STUDY).read_text("utf-8"))
    assert "Pareto table" in page.text and "Pareto front" in page.text
    points = [len(trace["x"]) for figure in page.figures for trace in figure["data"] if trace["type"] == "scatter3d"]
    assert sum(points) == 4  # one trial is stopped, one fails; an adapter's size is no penalty
    rows = re.findall(r"^(\d)0\.\d+", page.text, re.MULTILINE)
    assert [int(row) for row in rows] == book.pareto()


def test_a_report_of_a_search_that_runs_can_be_written(tmp_path: Path) -> None:
    book = make_search(tmp_path / "now", num_trials=1)
    book.ask()
    page = Page(write_report(tmp_path / "now", book.trials(), tmp_path / "now" / STUDY).read_text("utf-8"))
    assert "1 finished, 1 running" in page.text


def test_trials_that_overlap_are_in_different_slots_and_a_freed_slot_is_taken_again() -> None:
    def trial(number: int, host: str, started: float, ended: float) -> Trial:
        return Trial(number, {}, "finished", [RungRecord(1, 1, {}, ended)], host, started, ended)

    trials = [trial(1, "a", 0, 10), trial(2, "a", 1, 4), trial(3, "a", 4, 9), trial(4, "b", 2, 3)]
    assert lanes(trials) == {1: ("a", 1), 2: ("a", 2), 3: ("a", 2), 4: ("b", 1)}
