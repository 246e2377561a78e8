"""The playground in a real browser, over the real application: an answer, and another one beside it.

``T2S_PICTURES=docs/images pytest tests/integration/playground -k picture`` makes the documentation's picture.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from page_rig import Open, ask, rows
from playground_rig import GARDEN, shop
from playwright.sync_api import Page, Route, expect

from t2s.registry import ResolvedAdapter


def test_an_answer_is_sql_a_verdict_rows_and_how_long_it_took(page: Page) -> None:
    expect(page.locator("#columns li")).to_have_text(["nametext", "categorytext", "pricereal", "stockreal"])
    ask(page, GARDEN)
    card = page.get_by_role("article")
    expect(card.locator("code")).to_have_text(
        "SELECT name, price, stock FROM products WHERE category = 'garden' AND price < 30"
    )
    expect(card.locator(".k")).to_have_text(["SELECT", "FROM", "WHERE", "AND"])
    expect(card.locator(".s")).to_have_text("'garden'")
    expect(card.locator(".n")).to_have_text("30")
    expect(card.locator(".verdict")).to_have_text("Ran")
    assert rows(page) == [
        ["name", "price", "stock"],
        ["Watering can", "18.5", "42"],
        ["Pruning shears", "24.9", "17"],
        ["Seed tray", "6.2", "130"],
    ]
    expect(card.locator("td").nth(1)).to_have_class("right")
    assert re.search(r"Total\s*\d+ ms\s*Model\s*\d+ ms.*7 \(run 4f1c2a\)", card.locator(".facts").inner_text(), re.S)
    assert re.fullmatch(r"Ran in \d+ ms\. 3 rows", page.get_by_role("status").inner_text())


@pytest.mark.parametrize(
    ("question", "verdict", "detail"),
    [("garbage", "Invalid SQL", "expected SELECT"), ("what else?", "Failed to run", "no such column: unheard_of")],
)
def test_a_verdict_says_why(page: Page, question: str, verdict: str, detail: str) -> None:
    ask(page, question)
    expect(page.locator(".verdict")).to_have_text(verdict)
    expect(page.locator(".detail")).to_contain_text(detail)
    expect(page.locator(".rows")).to_be_hidden()


def test_null_is_told_from_the_word_and_other_tables_can_be_chosen(page: Page) -> None:
    page.get_by_label("Table").select_option("customers")
    expect(page.locator("#columns li").last).to_have_text("<b>note</b>text")
    ask(page, "notes")
    expect(page.locator("td.null")).to_have_text("NULL")
    page.get_by_label("Table").select_option("all tables")
    expect(page.locator("#columns h3")).to_have_text(["products", "customers", "orders"])


def test_a_large_number_is_not_rounded(page: Page) -> None:
    ask(page, "big")
    assert rows(page) == [["big", "small"], ["9007199254740993", "-1.5"]]


def test_the_sql_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "dearest?")
    page.get_by_role("button", name="Copy SQL").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "SELECT MAX(price) FROM products"
    page.get_by_role("button", name="Copied").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(0)
    expect(page.get_by_role("button", name="Copy SQL")).to_be_visible()


def test_tuned_and_base_stand_side_by_side(page: Page) -> None:
    page.get_by_label("Compare with base").check()
    ask(page, GARDEN)
    expect(page.locator(".answer h3")).to_have_text(["Tuned · adapter 7", "Base"])
    expect(page.get_by_role("status")).to_have_text("Tuned and base found different rows.")
    assert (len(rows(page, 0)), len(rows(page, 1))) == (4, 6)
    tuned, base = (page.locator(".answer").nth(each).bounding_box() for each in (0, 1))
    assert tuned and base and tuned["y"] == base["y"] and base["x"] > tuned["x"] + tuned["width"]
    ask(page, "dearest")
    expect(page.get_by_role("status")).to_have_text("Tuned and base found the same rows.")

    def with_more(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"truncated": True})

    page.route("**/v1/sql", with_more)
    ask(page, "dearest?")
    expect(page.get_by_role("status")).to_have_text("Tuned and base found the same first rows; there are more.")
    page.unroute("**/v1/sql")
    page.get_by_label("Compare with base").uncheck()
    ask(page, GARDEN)
    expect(page.locator(".answer h3")).to_have_text("Answer")


def test_an_endpoint_of_the_bare_base_compares_nothing(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with shop(tmp_path_factory.mktemp("bare"), adapter=ResolvedAdapter(None, "none", None)) as made:
        page = visit(made.url)
        expect(page.get_by_label("Compare with base")).to_be_disabled()
        expect(page.locator("#compare-why")).to_have_text("This endpoint serves the base itself.")


def test_the_picture_of_the_documentation_shows_a_right_answer(visit: Open, tmp_path: Path) -> None:
    page = visit(viewport={"width": 1180, "height": 820}, color_scheme="light")
    page.get_by_label("Compare with base").check()
    ask(page, "What does the dearest product cost?")
    ask(page, GARDEN)
    expect(page.locator(".verdict")).to_have_text(["Ran", "Ran"])
    page.mouse.move(0, 0)
    picture = Path(os.environ.get("T2S_PICTURES", tmp_path)) / "playground.png"
    page.screenshot(path=picture, full_page=True, animations="disabled")
    assert picture.stat().st_size < 300_000
