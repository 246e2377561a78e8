"""``summary.html``: everything on one page, offline, and safe to open whatever a name or a reason says."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_pipeline import PROMOTED, REFUSED, RESULTS, config_of, leave_files, make_state

from t2s.pipeline.curve import draw_curve
from t2s.pipeline.state import Flags
from t2s.pipeline.summary import commands, render_summary, sentence, write_summary

HOSTILE = "</style><script>document.title = 'ran'</script><img src=x onerror=alert(1)>\x1b[31m\u202e"


class Page(HTMLParser):
    """Its elements and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(runs: Path, wrong: str = "", **results: dict[str, Any]) -> Page:
    state = make_state(runs, **results)
    leave_files(runs, wrong)
    return Page(write_summary(state, config_of(runs)).read_text("utf-8"))


def test_the_page_tells_every_stage_its_numbers_and_how_to_do_it_again(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    for said in (
        "trial 2 of 3 is the best (loss 0.5000, EX 25.0%)", "eval loss 0.2500", "EX on 16 questions: base 12.5%",
        "simple select", "75.0", "65.0–85.0", "+62.5 points (+37.5 to +87.5, paired bootstrap), p = 0.002",
        "Version 2 is the champion", PROMOTED["reason"], "http://127.0.0.1:8000", "t2s promote 2",
    ):  # fmt: skip
        assert said in page.text, said
    assert [tag for tag, _ in page.tags].count("polyline") == 2 and ("circle", "3.5") in [
        (tag, attributes.get("r")) for tag, attributes in page.tags
    ]
    rows = [attributes.get("class") for tag, attributes in page.tags if tag == "tr"]
    assert rows.count("best") == 1 and rows.count("total") == 1


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None and policy.startswith("default-src 'none'") and "script" not in policy
    assert not [tag for tag, attributes in page.tags if "src" in attributes or tag in ("script", "link", "img")]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["../p-search/report.html", "../p-evaluate/report.html", "http://127.0.0.1:8000/"]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    wrong = {"reason": HOSTILE, "champion": HOSTILE}
    page = page_of(tmp_path, HOSTILE, promote=PROMOTED | wrong, deploy=RESULTS["deploy"] | {"version": HOSTILE})
    html = (tmp_path / "p" / "summary.html").read_text("utf-8")
    assert "\x1b" not in html and "\u202e" not in html and "document.title" in page.text
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]


def test_files_that_are_gone_or_damaged_are_told_in_their_place(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    leave_files(tmp_path)
    (tmp_path / "p-search" / "study.db").unlink()
    (tmp_path / "p-train" / "metrics.jsonl").write_text("{\n")
    (tmp_path / "p-evaluate" / "evaluation.json").write_text("{")
    text = Page(render_summary(state, config_of(tmp_path))).text
    assert (
        "holds no search" in text and "line 1: not JSON" in text and "cannot be read any more: JSONDecodeError" in text
    )


@pytest.mark.parametrize("done", range(5))
def test_a_pipeline_that_is_under_way_has_a_page(tmp_path: Path, done: int) -> None:
    state = make_state(tmp_path, done)
    page = Page(write_summary(state, config_of(tmp_path)).read_text("utf-8"))
    assert page.text.count("not begun") == 5 - done and "Nothing was deployed yet." in page.text


def test_a_refusal_says_who_stays(tmp_path: Path) -> None:
    state = make_state(tmp_path, done=4, promote=REFUSED)
    state.skip("deploy", {"reason": "no cluster here: serve the champion with t2s serve", "champion": "1"}, {})
    text = Page(render_summary(state, config_of(tmp_path))).text
    assert "Version 2 was refused; version 1 stays the champion." in text
    assert "Nothing was deployed: no cluster here: serve the champion with t2s serve." in text
    nobody = make_state(tmp_path / "b", done=4, promote=REFUSED | {"champion": None})
    assert "is refused, there is no champion" in sentence(nobody["promote"])


def test_the_commands_name_what_was_asked_for(tmp_path: Path) -> None:
    told = dict(commands(make_state(tmp_path, flags=Flags(search=True, deploy=False, max_samples=8))))
    assert told["all of it, under another name"].endswith("--name NAME --no-deploy --max-samples 8")
    assert "best.yaml" in told["the training"] and told["the evaluation"].endswith("adapter --max-samples 8")
    plain = dict(commands(make_state(tmp_path / "plain", done=0)))
    assert "the search" not in plain and "best.yaml" not in plain["the training"]


@pytest.mark.parametrize("losses", [[], [None], [0.5], [0.5, 0.5], [-1.0, 3.0, None, float("nan")]])
def test_a_curve_of_few_or_odd_losses_stays_inside_its_frame(losses: list[float | None]) -> None:
    curve = draw_curve([{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)])
    assert (curve is None) == (losses in ([], [None]))
    for point in curve.train.split() if curve else []:
        x, y = map(float, point.split(","))
        assert curve is not None and curve.left <= x <= curve.right and 0 <= y <= curve.bottom
