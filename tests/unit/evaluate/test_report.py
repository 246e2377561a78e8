"""The page: whole, offline, and nothing of what others wrote is obeyed."""

from __future__ import annotations

import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.data.core import Example
from t2s.errors import ConfigError
from t2s.evaluate.lines import Scored, line_of, write_lines
from t2s.evaluate.report import render_report, worst, write_report
from t2s.evaluate.results import results_of
from t2s.evaluate.text import one_line, visible
from t2s.evaluate.verdict import Gold, Outcome, Verdict
from t2s.sql.core import Column, LogicalForm, Schema, Table

HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></details></body>",
    '"><img src=x onerror=alert(1)>',
    "![x](http://evil.example/x.png)",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b]0;title\x07",
    "a\x00b\x08\x7f\x85",
    "\u202egnp.exe\u2066\u2028\ufeff",
    "\ud800",
    "<style>@import 'http://evil.example'</style>",
]
VOID = {"meta"}


def scored(number: int, text: str, ex: bool | None, base: bool | None = False) -> Scored:
    form = LogicalForm(0, 0)
    example = Example(f"{text}-{number}", text, Schema((Table(text or "t", (Column(text),)),)), text, form)
    gold = Gold([(text, None, 5)], [(text,)], text, form, ("cannot_run",))
    verdicts = {
        side: Verdict(False, mark, mark, Outcome.correct if mark else Outcome.wrong, text, None, [(text, 1.5, "5")])
        for side, mark in (("base", base), ("tuned", ex))
    }
    return Scored(example, gold, verdicts, {"base": text, "tuned": text})


def page(items: list[Scored], sides: tuple[str, ...] = ("base", "tuned")) -> str:
    lines = [line_of(item) for item in items]
    text = items[0].example.question
    return render_report(text, {text: text}, results_of(items, lines, sides), lines, sides, [text])


class Checker(HTMLParser):
    """Collects the tags and attributes of a page, and whether they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    clean, found = page([scored(1, "plain", False, True)]), page([scored(1, text, False, True)])
    ours, theirs = checked(found), checked(clean)
    assert ours.tags == theirs.tags and len(ours.attributes) == len(theirs.attributes)
    assert not {"script", "img", "link", "iframe", "form", "base", "object", "svg", "a"} & ours.tags
    assert not any(name.startswith("on") or name in ("src", "href") for name, _ in ours.attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", found)


def test_the_page_loads_nothing_and_says_so_to_the_browser() -> None:
    text = page([scored(1, "plain", False)])
    assert "default-src 'none'" in text and "script-src" not in text
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import", text)


@settings(max_examples=60)
@given(st.text(), st.sampled_from([True, False, None]), st.sampled_from([True, False, None]))
def test_any_text_and_any_marks_give_a_whole_page(text: str, ex: bool | None, base: bool | None) -> None:
    items = [scored(1, text, ex, base), scored(2, "x", False, True)]
    checked(page(items)).tags.add("")
    checked(page(items, ("tuned",)))


def test_the_worst_answers_begin_with_what_the_base_had_right_and_take_every_outcome() -> None:
    def line(number: int, outcome: str, base: bool) -> dict[str, Any]:
        mark = outcome == "correct"
        return {"id": number, "tuned": {"ex": mark, "lf": mark, "outcome": outcome}, "base": {"ex": base, "lf": base}}

    lines = [line(i, "wrong", False) for i in range(50)] + [line(50, "refused", False), line(51, "wrong", True)]
    lines += [line(52, "correct", True), line(53, "not_measurable", False)]
    found = [one["id"] for one in worst(lines, ("base", "tuned"), most=5)]
    assert found[0] == 51 and 50 in found and len(found) == 5 and not {52, 53} & set(found)
    assert worst([line(1, "correct", False)], ("base", "tuned")) == []


def test_results_are_json_and_lines_hold_any_text(tmp_path: Path) -> None:
    items = [scored(i, text, False) for i, text in enumerate(HOSTILE)]
    lines = [line_of(item) for item in items]
    json.dumps(results_of(items, lines, ("base", "tuned")), allow_nan=False)
    write_lines(tmp_path / "lines.jsonl", lines)
    read = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [line["question"] for line in read] == HOSTILE
    assert [path.name for path in tmp_path.iterdir()] == ["lines.jsonl"]
    for write in (
        lambda: write_lines(tmp_path / "no" / "x", []),
        lambda: write_report(
            tmp_path / "no" / "x", "", {}, results_of(items, lines, ("base", "tuned")), lines, ("base", "tuned")
        ),
    ):
        with pytest.raises(ConfigError, match="folder that exists"):
            write()


@given(st.text())
def test_visible_text_is_printable_and_plain_text_is_left_alone(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(char) for char in shown if char not in "\n\t"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    if text.isprintable():
        assert shown == text
    assert "\n" not in one_line(text) and len(one_line(text)) <= 300
