"""The playground while it waits, when something is in the way, and what it remembers."""

from __future__ import annotations

import re

import pytest
from page_rig import Open, ask
from playground_rig import GARDEN, Shop, shop
from playwright.sync_api import Page, Route, expect

TOKEN = "a-token-of-enough-length"


def test_a_full_queue_is_asked_again_after_a_countdown(page: Page, served: Shop) -> None:
    served.model.refusals = 1
    page.get_by_label("Question", exact=True).fill("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("429: the queue is full. Asking again in 1 s")
    expect(page.get_by_role("article")).to_contain_text("89")
    served.model.refusals = 9
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("Asking again")
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    served.model.refusals = 0


def test_a_question_under_way_can_be_stopped_and_its_time_is_shown(page: Page, served: Shop) -> None:
    served.model.held = True
    page.get_by_label("Question", exact=True).fill("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile(r"Asking … 0\.[2-9] s"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    served.model.held = False
    ask(page, "dearest?")


def test_a_lost_network_and_a_changed_token_are_one_line(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with shop(tmp_path_factory.mktemp("closed"), token=TOKEN) as made:
        page = visit(made.url, http_credentials={"username": "any", "password": TOKEN})
        ask(page, GARDEN)
        stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert GARDEN in stored and TOKEN not in stored and TOKEN not in page.content()

        def without_token(route: Route) -> None:
            kept = {name: value for name, value in route.request.headers.items() if name != "authorization"}
            route.fulfill(response=route.fetch(headers=kept | {"authorization": "Bearer another-token-of-length"}))

        page.route("**/v1/sql", without_token)
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_contain_text("401: the token is missing or wrong.")
        page.unroute("**/v1/sql")
        page.context.set_offline(True)
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        page.context.set_offline(False)
        ask(page, GARDEN)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_an_error_of_openais_routes_is_a_line_too(page: Page) -> None:
    refused = {"error": {"message": "the endpoint is stopping", "type": "server_error", "param": None, "code": "503"}}
    page.route("**/v1/models", lambda route: route.fulfill(status=503, json=refused))
    page.reload()
    expect(page.locator("#about")).to_contain_text("503: the endpoint is stopping")
    page.unroute("**/v1/models")


def test_the_history_outlives_the_page_and_can_be_cleared(page: Page) -> None:
    page.get_by_label("Table").select_option("customers")
    ask(page, "notes")
    page.get_by_label("Table").select_option("products")
    ask(page, "dearest?")
    page.reload()
    expect(page.locator("#about")).to_contain_text("ready")
    page.get_by_role("button", name="notes").click()
    expect(page.get_by_label("Table")).to_have_value("customers")
    expect(page.get_by_label("Question", exact=True)).to_have_value("notes")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#history li")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("stored", ["{", "null", '[1, {"question": 5}, null]'])
def test_a_spoilt_history_is_an_empty_one(page: Page, stored: str) -> None:
    page.evaluate("(stored) => localStorage.setItem('t2s.history', stored)", stored)
    page.reload()
    ask(page, "dearest?")
    expect(page.locator("#history li")).to_have_count(1)
