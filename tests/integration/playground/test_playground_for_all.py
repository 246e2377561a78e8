"""The playground by keyboard, by screen reader, on a phone, in light and in dark."""

from __future__ import annotations

from typing import Any

import pytest
from page_rig import DROP, Open, ask, is_wider_than_its_window
from playground_rig import GARDEN
from playwright.sync_api import Page, expect

CONTRAST = """(selectors) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    const colour = channels(getComputedStyle(node).backgroundColor);
    return colour.length === 4 && colour[3] === 0 ? behind(node.parentElement) : colour;
  };
  return selectors.map((selector) => {
    const node = document.querySelector(selector);
    const [low, high] = [channels(getComputedStyle(node).color), behind(node)].map(luminance).sort((a, b) => a - b);
    return [selector, (high + 0.05) / (low + 0.05)];
  });
}"""
FOCUSED = """() => {
  const node = document.activeElement;
  const drawn = node.matches("input[type=radio], #file") ? node.nextElementSibling : node;
  const box = drawn.getBoundingClientRect();
  return [node.id || node.value || node.className || node.textContent,
    getComputedStyle(drawn).outlineStyle !== "none" && box.width > 0 && box.height > 0];
}"""


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.get_by_label("Question", exact=True)).to_be_focused()
    page.keyboard.type("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#asked")).to_have_text("dearest?")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("everything / all")  # a slash is a slash there
    page.keyboard.press("Control+Enter")
    expect(page.locator("#asked")).to_have_text("everything / all")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("half")
    for key, shown in (("ArrowUp", "everything / all"), ("ArrowUp", "dearest?"), ("ArrowUp", "dearest?"),
                       ("ArrowDown", "everything / all"), ("ArrowDown", "half"), ("ArrowDown", "half")):  # fmt: skip
        page.keyboard.press(key)
        expect(page.get_by_label("Question", exact=True)).to_have_value(shown)


def test_every_stop_of_the_tab_key_is_seen(page: Page) -> None:
    page.get_by_label("Compare with base").check()
    ask(page, GARDEN)
    expect(page.locator(".answer")).to_have_count(2)
    page.locator("#history-clear").focus()
    stops = []
    while "skip" not in stops:
        page.keyboard.press("Shift+Tab")
        name, seen = page.evaluate(FOCUSED)
        assert seen, f"the focus on {name} is not seen"
        stops.append(name)
    assert stops[::-1] == [
        "skip", "database", "database", "table", "columns", "question", "compare", "ask",
        "quiet copy", "sql", "rows", "quiet copy", "sql", "rows",
    ]  # fmt: skip
    page.get_by_label("Database").first.focus()
    page.keyboard.press("ArrowRight")  # radio buttons
    expect(page.locator("#of-csv")).to_be_visible()


def test_every_control_has_a_name_and_the_answer_is_announced(page: Page) -> None:
    ask(page, GARDEN)
    nameless = page.evaluate("""() => [...document.querySelectorAll("input, select, textarea, button, [tabindex]")]
        .filter((each) => !((each.labels && each.labels.length) || each.textContent.trim() || each.ariaLabel))
        .map((each) => each.outerHTML)""")
    assert nameless == []
    expect(page.locator("#status")).to_have_attribute("role", "status")
    expect(page.locator("#error")).to_have_attribute("role", "alert")


def test_a_phone_shows_everything_without_scrolling_sideways(visit: Open) -> None:
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert not is_wider_than_its_window(page)
    page.get_by_label("Compare with base").check()
    for question in (GARDEN, f"wide {'w' * 200}", "everything", "dearest"):
        ask(page, question)
        assert not is_wider_than_its_window(page), question
    ask(page, "everything")
    assert page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector('.rows'))"
    )
    page.evaluate(DROP, [f"{'long' * 30}.csv", f"{'column' * 30}\n{'cell' * 100}\n", "drop"])
    expect(page.locator("#file-chosen")).to_be_visible()
    assert not is_wider_than_its_window(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit: Open, scheme: Any) -> None:
    page = visit(color_scheme=scheme)
    ask(page, GARDEN)
    ratios = dict(page.evaluate(CONTRAST, [
        "body", "h1 span", "#about", "legend", "#columns li span", "#question", "#ask", "#ask kbd", "#asked",
        ".verdict", ".k", ".s", ".n", "th", "td", ".count", ".facts dt", ".facts dd", "#history span", "footer p",
    ]))  # fmt: skip
    assert {selector: ratio for selector, ratio in ratios.items() if ratio < 4.5} == {}
    ask(page, "what else?")
    assert page.evaluate(CONTRAST, [".verdict"])[0][1] >= 4.5
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(14, 17, 22)") == (scheme == "dark")
